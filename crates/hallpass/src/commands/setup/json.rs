//! Members of ours in somebody else's JSON. Pure: from the text of the file to its new text, with the rest as it was to the
//! byte, since JSON has no comments to find ours by.

use std::ops::Range;

/// A member of an object, where it stands in the text.
struct Member {
    name: String,
    key: Range<usize>,
    value: Range<usize>,
}

/// Puts `{"outer": {name: value}}` in for each name. An object that is there is added to.
pub(super) fn put(text: &str, outer: &str, names: &[String], value: &str) -> Result<String, String> {
    let quoted = |text: &str| serde_json::to_string(text).expect("a text is JSON");
    let mut text = text.to_owned();
    for name in names {
        let root = object(&text)?;
        let line = format!("{}: {}", quoted(name), quoted(value));
        text = match members(&text, root).into_iter().find(|member| member.name == outer) {
            None => inserted(&text, root, 1, &format!("{}: {{\n\t\t{line}\n\t}}", quoted(outer))),
            Some(member) if !text[member.value.clone()].starts_with('{') => {
                return Err(format!("`{outer}` is not an object"));
            }
            Some(member) => {
                let at = member.value.start;
                match members(&text, at).into_iter().find(|inner| inner.name == *name) {
                    None => inserted(&text, at, 2, &line),
                    Some(inner) if text[inner.value.clone()] == quoted(value) => text,
                    Some(inner) => {
                        return Err(format!("`{outer}` has {} for `{name}` already", &text[inner.value]));
                    }
                }
            }
        };
    }
    Ok(text)
}

/// Takes every member of `outer` out whose value this is, and `outer` itself where nothing is left in it.
pub(super) fn taken(text: &str, outer: &str, value: &str) -> Result<String, String> {
    let wanted = serde_json::to_string(value).expect("a text is JSON");
    let mut text = text.to_owned();
    let root = object(&text)?;
    loop {
        let all = members(&text, root);
        let Some(at) = all.iter().position(|member| member.name == outer) else { return Ok(text) };
        if !text[all[at].value.clone()].starts_with('{') {
            return Ok(text);
        }
        let inner = members(&text, all[at].value.start);
        let Some(ours) = inner.iter().position(|inner| text[inner.value.clone()] == wanted) else {
            return Ok(text);
        };
        text = match inner.len() {
            1 => removed(&text, root, &all, at),
            _ => removed(&text, all[at].value.start, &inner, ours),
        };
    }
}

/// Where the outermost object begins, of a text that is JSON.
fn object(text: &str) -> Result<usize, String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| format!("it is not JSON: {error}"))?;
    let at = text.len() - text.trim_start().len();
    if text[at..].starts_with('{') { Ok(at) } else { Err("it is not an object".into()) }
}

/// The members of the object that begins at `at`, of a text that is JSON.
fn members(text: &str, at: usize) -> Vec<Member> {
    let mut found = Vec::new();
    let mut at = blanks(text, at + 1);
    while text.as_bytes()[at] == b'"' {
        let key = at..after(text, at);
        let value = blanks(text, blanks(text, key.end) + 1);
        let value = value..after(text, value);
        at = blanks(text, value.end);
        let name = serde_json::from_str(&text[key.clone()]).unwrap_or_default();
        found.push(Member { name, key, value });
        if text.as_bytes()[at] == b',' {
            at = blanks(text, at + 1);
        }
    }
    found
}

fn blanks(text: &str, at: usize) -> usize {
    at + text[at..].bytes().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Where the value that begins at `at` is over.
fn after(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut quoted, mut here) = (0, false, at);
    loop {
        match (quoted, bytes[here]) {
            (true, b'\\') => here += 1,
            (true, b'"') => quoted = false,
            (true, _) => {}
            (false, b'"') => quoted = true,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') if depth == 0 => return here, // a number or a word, last in what holds it
            (false, b'}' | b']') => depth -= 1,
            (false, b',') if depth == 0 => return here,
            (false, byte) if depth == 0 && byte.is_ascii_whitespace() => return here,
            _ => {}
        }
        here += 1;
        let closed = matches!(bytes[here - 1], b'"' | b'}' | b']');
        if !quoted && depth == 0 && closed {
            return here;
        }
    }
}

/// A member more, first in the object that begins at `at`, in the manner of those that are there.
fn inserted(text: &str, at: usize, depth: usize, member: &str) -> String {
    let (open, rest) = text.split_at(at + 1);
    let first = blanks(text, at + 1);
    match text.as_bytes()[first] {
        b'}' => {
            let (inner, outer) = ("\t".repeat(depth), "\t".repeat(depth - 1));
            format!("{open}\n{inner}{member}\n{outer}{}", &text[first..])
        }
        _ => format!("{open}{}{member},{rest}", &text[at + 1..first]),
    }
}

/// The object that begins at `at` without one of its members.
fn removed(text: &str, at: usize, all: &[Member], which: usize) -> String {
    let range = match (which, all.get(which + 1)) {
        (_, Some(next)) => all[which].key.start..next.key.start,
        (0, None) => at + 1..blanks(text, all[0].value.end),
        (last, None) => all[last - 1].value.end..all[last].value.end,
    };
    format!("{}{}", &text[..range.start], &text[range.end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_both(text: &str) -> Result<String, String> {
        put(text, "credHelpers", &["a.example".into(), "b.example:5000".into()], "hallpass")
    }

    #[test]
    fn what_is_put_in_is_taken_out_exactly_and_the_rest_is_as_it_was() {
        for before in [
            "{}",
            "{}\n",
            "{\n\t\"auths\": {\n\t\t\"x\": {}\n\t}\n}\n",
            "{ \"auths\" : { \"}\\\"\" : [1, 2, {\"a\": \"]\"}] }, \"n\": -1.5e3 , \"t\": true }",
            "{\n  \"credHelpers\": {\n    \"other.example\": \"pass\"\n  },\n  \"psFormat\": \"a,b\"\n}",
            "{\"credHelpers\":{\"other.example\":\"pass\",\"c\":\"d\"}}",
            "  {\"n\":1}  ",
        ] {
            let after = put_both(before).unwrap();
            let value: serde_json::Value =
                serde_json::from_str(&after).unwrap_or_else(|e| panic!("{e}: {after}"));
            assert_eq!(value["credHelpers"]["a.example"], "hallpass");
            assert_eq!(value["credHelpers"]["b.example:5000"], "hallpass");
            assert_eq!(put_both(&after).unwrap(), after, "and only once");
            assert_eq!(taken(&after, "credHelpers", "hallpass").unwrap(), before, "{after}");
        }
    }

    #[test]
    fn what_the_client_itself_wrote_anew_in_between_is_still_found() {
        let after = put_both("{\"auths\": {}}").unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&after).unwrap();
        value["credHelpers"]["later.example"] = "pass".into();
        value["auths"]["x"] = serde_json::json!({});
        let anew = serde_json::to_string_pretty(&value).unwrap();
        let rest = taken(&anew, "credHelpers", "hallpass").unwrap();
        let expected =
            serde_json::json!({ "auths": { "x": {} }, "credHelpers": { "later.example": "pass" } });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&rest).unwrap(), expected);
    }

    #[test]
    fn another_s_setting_is_not_overruled_and_what_is_no_json_is_left_alone() {
        assert!(put_both("{\"credHelpers\":{\"a.example\":\"pass\"}}").unwrap_err().contains("\"pass\""));
        for bad in ["", "[]", "{", "{\"credHelpers\":1}", "{} {}", "// x\n{}"] {
            assert!(put_both(bad).is_err(), "{bad}");
        }
        assert_eq!(taken("{\"credHelpers\":1}", "credHelpers", "hallpass").unwrap(), "{\"credHelpers\":1}");
    }
}
