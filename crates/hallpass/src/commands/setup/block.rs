//! Lines of ours in somebody else's file, between two lines that say so. Pure: from the text of the file to its new text.
//!
//! Every format that is written here (git's, TOML, ini, npm's, YAML) takes a line that begins with `#` for a comment. What is
//! ours is found again by the two lines alone, so it is taken out exactly, whatever happened to the rest of the file.

/// What is put into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The line after which it stands, such as `[global]`, where the file has it already.
    pub(super) under: Option<String>,
    /// Where it stands otherwise.
    pub(super) otherwise: Otherwise,
    /// Its lines.
    pub(super) lines: Vec<String>,
    /// Lines that go with the line in `under`, where that one is ours.
    pub(super) with_it: Vec<String>,
    /// A setting that the section in `under` must not have yet, and the value that would do as well.
    pub(super) unless: Option<(&'static str, String)>,
}

/// Where a block stands in a file that does not have the line it belongs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// At the end, after the line it belongs under.
    AtEnd,
    /// Before everything else.
    AtStart,
}

/// Said in the first of the two lines of a file that was not there before.
const NEW_FILE: &str = " (the file is new)";
/// Said where the file did not end with a line's end.
const JOINED: &str = " (the line before had no end)";

fn begin(tool: &str) -> String {
    format!("# >>> hallpass setup {tool} >>>")
}

fn end(tool: &str) -> String {
    format!("# <<< hallpass setup {tool} <<<")
}

/// The file with these blocks and no others of this tool. `None` stands for a file that is not there.
pub(super) fn put(before: Option<&str>, tool: &str, blocks: &[Block]) -> Result<String, String> {
    let plain = match before {
        Some(text) => taken(text, tool)?,
        None => None,
    };
    let is_new = plain.is_none();
    let mut text = plain.unwrap_or_default();
    for block in blocks {
        text = put_one(text, tool, block, is_new)?;
    }
    Ok(text)
}

fn put_one(text: String, tool: &str, block: &Block, is_new: bool) -> Result<String, String> {
    let mark = if is_new { NEW_FILE } else { "" };
    let inside = |mark: &str, head: Option<&str>| {
        let with_it = block.with_it.iter().filter(|_| head.is_some());
        let lines = with_it.chain(&block.lines).map(String::as_str);
        let body: String = head.into_iter().chain(lines).map(|line| format!("{line}\n")).collect();
        format!("{}{mark}\n{body}{}\n", begin(tool), end(tool))
    };
    let head = block.under.as_deref();
    let at = head.and_then(|head| end_of_line(&text, head));
    // A file whose settings stand before any section is one section by itself.
    let section = at.or_else(|| head.is_none().then_some(0));
    if let (Some(section), Some((key, wanted))) = (section, &block.unless)
        && let Some(found) = value_in_section(&text[section..], key)
    {
        return match found == *wanted {
            true => Ok(text),
            false => Err(format!("`{key} = {found}` is set already")),
        };
    }
    match at {
        Some(at) => {
            let (above, below) = text.split_at(at);
            // A section's own line may be the last, without an end.
            match above.ends_with('\n') {
                true => Ok(format!("{above}{}{below}", inside(mark, None))),
                false => Ok(format!("{above}\n{}{below}", inside(JOINED, None))),
            }
        }
        None => Ok(match (block.otherwise, text.is_empty() || text.ends_with('\n')) {
            (Otherwise::AtStart, _) => format!("{}{text}", inside(mark, head)),
            (Otherwise::AtEnd, true) => format!("{text}{}", inside(mark, head)),
            (Otherwise::AtEnd, false) => format!("{text}\n{}", inside(JOINED, head)),
        }),
    }
}

/// The file without what is ours. `None`: nothing else is in it, and it was not there before.
pub(super) fn taken(text: &str, tool: &str) -> Result<Option<String>, String> {
    let (begin, end) = (begin(tool), end(tool));
    let mut rest = String::with_capacity(text.len());
    let mut inside = false;
    let mut was_new = false;
    let mut joined = None;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        match (inside, bare.strip_prefix(begin.as_str())) {
            (false, Some(mark)) => {
                inside = true;
                was_new |= mark == NEW_FILE;
                if mark == JOINED {
                    joined = Some(rest.len());
                }
            }
            (true, Some(_)) => return Err("its marks do not match: one begins within another".into()),
            (true, None) if bare == end => inside = false,
            (true, None) => {}
            (false, None) if bare == end => {
                return Err("its marks do not match: one ends that did not begin".into());
            }
            (false, None) => rest.push_str(line),
        }
    }
    // The end we gave to the last line goes with ours, unless somebody has gone on after it.
    if joined == Some(rest.len()) && rest.ends_with('\n') {
        rest.pop();
        // An editor that ends lines in its own way has changed ours, too.
        if rest.ends_with('\r') {
            rest.pop();
        }
    }
    match inside {
        true => Err("its marks do not match: one begins that does not end".into()),
        false => Ok((!(was_new && rest.is_empty())).then_some(rest)),
    }
}

/// Whether anything of ours is in it, or half of a mark that says so.
pub(super) fn has(text: &str, tool: &str) -> bool {
    let (begin, end) = (begin(tool), end(tool));
    text.lines().any(|line| line.starts_with(&begin) || line.trim_end() == end)
}

/// Where the line that is this one ends, its end included.
fn end_of_line(text: &str, wanted: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if line.trim() == wanted {
            return Some(at);
        }
    }
    None
}

/// What a key is set to, before the next section.
fn value_in_section(text: &str, key: &str) -> Option<String> {
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(under: Option<&str>, line: &str) -> Block {
        Block {
            under: under.map(str::to_owned),
            otherwise: Otherwise::AtEnd,
            lines: vec![line.to_owned()],
            with_it: Vec::new(),
            unless: Some(("keyring-provider", "subprocess".into())),
        }
    }

    #[test]
    fn an_editor_that_ends_lines_in_its_own_way_changes_nothing_about_whose_they_are() {
        let block = block(Some("[global]"), "keyring-provider = subprocess");
        for before in ["", "[global]\nindex-url = x\n", "[install]\nx = y", "[global]"] {
            let after = put(Some(before), "pip", std::slice::from_ref(&block)).unwrap().replace('\n', "\r\n");
            let left = taken(&after, "pip").unwrap();
            assert_eq!(left.as_deref(), Some(&*before.replace('\n', "\r\n")), "{after:?}");
        }
    }

    const OURS: &str =
        "# >>> hallpass setup pip >>>\nkeyring-provider = subprocess\n# <<< hallpass setup pip <<<\n";

    #[test]
    fn what_is_put_in_is_taken_out_exactly() {
        let block = block(Some("[global]"), "keyring-provider = subprocess");
        for before in [
            "",
            "[global]\nindex-url = x\n[install]\n",
            "[global]\r\nindex-url = x\r\n",
            "[install]\nx = y",
            "[install]\nx = y\n\n\n",
            "[global]",
            "# [global]\n",
        ] {
            let after = put(Some(before), "pip", std::slice::from_ref(&block)).unwrap();
            assert!(after.contains("keyring-provider = subprocess\n"), "{after}");
            assert_eq!(taken(&after, "pip").unwrap().as_deref(), Some(before));
            assert_eq!(
                put(Some(&after), "pip", std::slice::from_ref(&block)).unwrap(),
                after,
                "and only once"
            );
            // Whatever happened elsewhere in the meantime stays.
            let changed = format!("# first\n{after}\n# last\n");
            let rest = taken(&changed, "pip").unwrap().unwrap();
            assert!(rest.starts_with("# first\n") && rest.ends_with("\n# last\n"), "{rest}");
            assert!(!has(&rest, "pip") && has(&changed, "pip"));
        }
    }

    #[test]
    fn a_file_that_was_not_there_is_gone_afterwards_unless_somebody_wrote_more() {
        let block = block(Some("[global]"), "keyring-provider = subprocess");
        let after = put(None, "pip", &[block]).unwrap();
        assert_eq!(taken(&after, "pip").unwrap(), None);
        assert_eq!(taken(&format!("{after}[install]\n"), "pip").unwrap().as_deref(), Some("[install]\n"));
    }

    #[test]
    fn it_stands_in_the_section_it_belongs_to_and_another_s_setting_is_not_overruled() {
        let block = block(Some("[global]"), "keyring-provider = subprocess");
        let put = |text: &str| put(Some(text), "pip", std::slice::from_ref(&block));
        assert_eq!(put("[global]\nx = y\n").unwrap(), format!("[global]\n{OURS}x = y\n"));
        assert_eq!(
            put("[global]\nkeyring-provider = subprocess\n").unwrap(),
            "[global]\nkeyring-provider = subprocess\n"
        );
        assert!(put("[global]\nkeyring-provider = import\n").unwrap_err().contains("import"));
        assert!(put("[global]\n[install]\nkeyring-provider = import\n").is_ok());
    }

    #[test]
    fn what_a_section_of_ours_needs_comes_with_it_and_a_file_may_be_one_section() {
        let block = Block {
            with_it: vec!["index = \"x\"".into()],
            ..block(Some("[registries.ours]"), "credential-provider = [\"y\"]")
        };
        let put = |text: &str, block: &Block| put(Some(text), "pip", std::slice::from_ref(block)).unwrap();
        assert!(put("", &block).contains("[registries.ours]\nindex = \"x\"\ncredential-provider"));
        assert!(!put("[registries.ours]\nindex = \"z\"\n", &block).contains("\"x\""));
        let start = Block { under: None, otherwise: Otherwise::AtStart, with_it: Vec::new(), ..block };
        let start = Block { lines: vec!["keyring-provider = subprocess".into()], ..start };
        assert_eq!(put("[pip]\n", &start), format!("{OURS}[pip]\n"));
        assert_eq!(
            put("keyring-provider = subprocess\n[pip]\n", &start),
            "keyring-provider = subprocess\n[pip]\n"
        );
    }

    #[test]
    fn marks_that_do_not_match_are_an_error_and_other_tools_marks_are_not_ours() {
        for bad in [
            "# >>> hallpass setup pip >>>\nx\n",
            "x\n# <<< hallpass setup pip <<<\n",
            "# >>> hallpass setup pip >>>\n# >>> hallpass setup pip >>>\n# <<< hallpass setup pip <<<\n",
        ] {
            assert!(taken(bad, "pip").is_err(), "{bad}");
        }
        let other = "# >>> hallpass setup git >>>\nx\n# <<< hallpass setup git <<<\n";
        assert_eq!(taken(other, "pip").unwrap().as_deref(), Some(other));
    }
}
