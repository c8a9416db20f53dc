//! Which word was meant by a misspelt one.

/// The known word nearest to `typed`, if one is near enough to have been meant.
pub fn nearest<'k>(typed: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|word| (distance(typed, word), word))
        .filter(|(apart, word)| *apart <= 1 + word.len() / 4)
        .min()
        .map(|(_, word)| word)
}

/// How many letters must be added, dropped, changed or swapped with their neighbour to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().take(64).collect(), other.chars().collect());
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_if_it_can_have_been_meant() {
        assert_eq!(nearest("lisetn", ["listen", "data"].into_iter()), Some("listen"));
        assert_eq!(
            nearest("repositry_id", ["repository_id", "repository"].into_iter()),
            Some("repository_id")
        );
        assert_eq!(nearest("xyz", ["listen", "data"].into_iter()), None);
    }
}
