//! Columns for people: aligned, without rules or colour, so that they can be read and piped.

use std::fmt;

/// Rows under a heading.
pub(in crate::commands) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headings.
    pub(in crate::commands) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned).to_vec()] }
    }

    /// With one more row. Text that strangers chose is made plain: it must not move the cursor.
    pub(in crate::commands) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.map(plain).to_vec());
    }
}

/// Text without control characters or line breaks; a dash for none.
pub(in crate::commands) fn plain(text: &str) -> String {
    match text {
        "" => "-".to_owned(),
        text => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
    }
}

/// Two columns: what, and its value.
pub(super) fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let facts: Vec<_> = facts.into_iter().collect();
    let width = facts.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
    facts.iter().map(|(what, value)| format!("{what:width$}  {}\n", plain(value))).collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let mut table = Table::new(["HANDLE", "NAME"]);
        table.row(["ada", "Ada Lovelace"]);
        table.row(["grace-hopper", ""]);
        assert_eq!(table.to_string(), "HANDLE        NAME\nada           Ada Lovelace\ngrace-hopper  -\n");
    }

    #[test]
    fn a_stranger_s_text_cannot_move_the_cursor() {
        assert_eq!(plain("a\x1b[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
