//! Every statement's query plan: no cost may grow with the number of sessions.

use std::collections::BTreeSet;
use std::path::Path;

use hallpass_store::StorePlace;

/// Tables that stay small, however many people log in.
const SMALL: [&str; 2] = ["meta", "migrations"];

/// Files whose statements read everything, as that is what they are for; none runs while somebody waits for it.
const WHOLE_FILES: [&str; 1] = ["copy.rs"];

/// Such statements elsewhere: a restore's, before anybody is served.
const WHOLE: [&str; 7] = [
    "DELETE FROM links",
    "DELETE FROM ceremonies",
    "DELETE FROM requests",
    "DELETE FROM codes",
    "DELETE FROM device_grants",
    "DELETE FROM leases",
    "SELECT version, sha256 FROM migrations ORDER BY version",
];

/// What is open at one end, and runs once, before anybody is served: runs from before the start, as many as there were
/// connections.
const AT_THE_START: [&str; 1] = ["UPDATE leases SET deadline = ?1 WHERE deadline < ?1"];

#[test]
fn no_statement_reads_a_table_that_grows_from_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    drop(crate::world::open(StorePlace::new(folder.path().join("data"))).unwrap());
    let db = rusqlite::Connection::open(folder.path().join("data/hallpass.db")).unwrap();
    let statements = statements();
    assert!(statements.len() > 100, "only {} statements were found", statements.len());
    let mut wrong = Vec::new();
    for sql in statements.iter().filter(|sql| !WHOLE.contains(&sql.as_str())) {
        let plan = plan(&db, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        for step in plan {
            let table = step.strip_prefix("SCAN ").and_then(|rest| rest.split_whitespace().next());
            if table.is_some_and(|table| !SMALL.contains(&table) && table != "CONSTANT") {
                wrong.push(format!("{sql}\n    {step}"));
            }
            if is_open_range(&step) && !sql.contains("LIMIT") && !AT_THE_START.contains(&sql.as_str()) {
                wrong.push(format!("{sql}\n    {step}, without a LIMIT"));
            }
            if step.contains("TEMP B-TREE") && sql.contains("sessions") {
                wrong.push(format!("{sql}\n    {step}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_statement_without_its_index_would_be_found() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    db.execute_batch("CREATE TABLE sessions (id BLOB, principal BLOB)").unwrap();
    let steps = plan(&db, "SELECT id FROM sessions WHERE principal = ?1").unwrap();
    assert!(steps[0].starts_with("SCAN sessions"), "{steps:?}");
}

#[test]
fn a_range_that_is_open_at_one_end_would_be_found() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    db.execute_batch(
        "CREATE TABLE leases (id BLOB NOT NULL PRIMARY KEY, org BLOB, deadline INTEGER) WITHOUT ROWID;
         CREATE INDEX leases_by_deadline ON leases (deadline); CREATE INDEX leases_by_org ON leases (org, deadline)",
    )
    .unwrap();
    let cases = [
        ("deadline > ?1", true),
        ("deadline <= ?1", true),
        ("id > ?1", true),
        ("deadline = ?1", false),
        ("deadline > ?1 AND deadline < ?2", false),
        ("org = ?1 AND deadline > ?2", false),
    ];
    for (condition, open) in cases {
        let steps = plan(&db, &format!("SELECT id FROM leases WHERE {condition}")).unwrap();
        assert_eq!(is_open_range(&steps[0]), open, "{steps:?}");
    }
}

/// Whether a step goes through an index from one moment, id or number on, to wherever that ends.
fn is_open_range(step: &str) -> bool {
    let Some((_, bounds)) = step.strip_prefix("SEARCH ").and_then(|step| step.split_once('(')) else {
        return false;
    };
    !bounds.contains('=') && bounds.contains('>') != bounds.contains('<')
}

fn plan(db: &rusqlite::Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    // What is not bound is NULL, which changes no plan.
    let mut rows = explain.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        steps.push(row.get(3)?);
    }
    Ok(steps)
}

/// Every SQL text in the crate's source, its own tests left out. They are plain literals, never put together.
fn statements() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if !name.ends_with(".rs") || WHOLE_FILES.contains(&&*name) {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        for literal in literals(source) {
            let first = literal.split_whitespace().next().unwrap_or_default();
            if ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&first) {
                assert!(!literal.contains('{'), "{}: SQL is not put together: {literal}", path.display());
                found.insert(literal);
            }
        }
    }
    found
}

/// The string literals of a source text, a backslash at a line's end taken as Rust takes it.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in joined(source).lines() {
        let code = if line.trim_start().starts_with("//") { "" } else { line };
        let mut rest = code;
        while let Some(begin) = rest.find('"') {
            let Some(length) = rest[begin + 1..].find('"') else { break };
            found.push(rest[begin + 1..begin + 1 + length].to_owned());
            rest = &rest[begin + length + 2..];
        }
    }
    found
}

fn joined(source: &str) -> String {
    let mut text = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let mut line = line.to_owned();
        while let Some(kept) = line.strip_suffix('\\') {
            line = format!("{kept}{}", lines.next().unwrap_or_default().trim_start());
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}
