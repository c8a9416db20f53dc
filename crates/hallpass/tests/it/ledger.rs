//! `hallpass ledger`: reading it, and proving a copy whole or broken.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::program::{Ended, Server, run};

/// A stopped server's backup, its public key, and a checkpoint over all of it.
struct Kept {
    root: tempfile::TempDir,
    copy: PathBuf,
    entries: i64,
}

impl Kept {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = Server::start(root.path(), &[]).with_org();
        for n in 0..5 {
            server.admin(&["person", "add", &format!("person-{n}")]).json();
        }
        std::fs::write(root.path().join("key"), server.ledger(&["key"]).out).unwrap();
        let checkpoint = root.path().join("checkpoint");
        assert_eq!(server.ledger(&["checkpoint", checkpoint.to_str().unwrap()]).code, 0);
        let copy = root.path().join("copy.db");
        server.admin(&["backup", copy.to_str().unwrap()]).json();
        server.stop();
        let entries = Connection::open(&copy)
            .unwrap()
            .query_row("SELECT count(*) FROM ledger", (), |r| r.get(0))
            .unwrap();
        Self { root, copy, entries }
    }

    fn verify(&self, database: &Path) -> Ended {
        let place = |name: &str| self.root.path().join(name).to_str().unwrap().to_owned();
        let (checkpoint, key) = (place("checkpoint"), place("key"));
        run(&[
            "ledger",
            "verify",
            "--database",
            database.to_str().unwrap(),
            "--since",
            &checkpoint,
            "--key",
            &key,
        ])
    }

    /// What verifying says of a copy that was changed so.
    fn tampered(&self, statements: &str) -> Ended {
        let copy = self.root.path().join("tampered.db");
        std::fs::copy(&self.copy, &copy).unwrap();
        Connection::open(&copy).unwrap().execute_batch(statements).unwrap();
        self.verify(&copy)
    }
}

#[test]
fn a_copy_as_it_was_recorded_is_sound_and_says_what_is_not_proven() {
    let kept = Kept::new();
    let verified = kept.verify(&kept.copy);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    assert!(verified.out.starts_with(&format!("sound: {} entries", kept.entries)), "{}", verified.out);
    assert!(verified.out.contains("not proven: "), "{}", verified.out);
    let alone = run(&["ledger", "verify", "--database", kept.copy.to_str().unwrap()]);
    assert_eq!(alone.code, 0);
    assert!(
        alone.out.matches("not proven: ").count() > verified.out.matches("not proven: ").count(),
        "{}",
        alone.out
    );
    assert!(!kept.root.path().join("copy.db-shm").exists(), "nothing is written beside a copy");
}

#[test]
fn every_damage_to_a_copy_is_found() {
    let kept = Kept::new();
    let last = kept.entries - 1;
    let damages = [
        ("an entry changed", "UPDATE ledger SET leaf = replace(leaf, 'operator', 'system') WHERE seq = 3".to_owned(), "entry 3"),
        ("a column changed", "UPDATE ledger SET event = 'issued' WHERE seq = 3".to_owned(), "columns beside entry 3"),
        ("an entry changed with its hash", "UPDATE ledger SET leaf = replace(leaf, 'operator', 'system'), hash = zeroblob(32) WHERE seq = 3".to_owned(), "entry 3 was changed"),
        ("the tree's edge changed", "UPDATE meta SET frontier = zeroblob(3)".to_owned(), "edge of the tree"),
        ("an entry removed", "PRAGMA foreign_keys = OFF; DELETE FROM ledger WHERE seq = 4".to_owned(), "entry 4 was removed"),
        (
            "two entries swapped",
            "UPDATE ledger SET seq = -1 WHERE seq = 5; UPDATE ledger SET seq = 5 WHERE seq = 6; \
             UPDATE ledger SET seq = 6 WHERE seq = -1"
                .to_owned(),
            "entry 6 stands in the place of entry 5",
        ),
        ("the end dropped", format!("PRAGMA foreign_keys = OFF; DELETE FROM ledger WHERE seq = {last}"), "was dropped from the end"),
        ("personal fields changed", "UPDATE ledger_personal SET fields = zeroblob(8) WHERE seq = (SELECT min(seq) FROM ledger_personal)".to_owned(), "personal fields"),
        ("a checkpoint changed", "UPDATE checkpoints SET note = replace(note, char(10), ' ' || char(10))".to_owned(), "checkpoint"),
    ];
    for (damage, statements, words) in damages {
        let verified = kept.tampered(&format!("PRAGMA foreign_keys = OFF; {statements}"));
        assert_eq!(verified.code, 1, "{damage}: {}{}", verified.out, verified.err);
        assert!(
            verified.out.contains("broken: ") && verified.out.contains(words),
            "{damage}: {}",
            verified.out
        );
        assert!(verified.err.contains("the ledger is broken"), "{damage}: {}", verified.err);
    }
}

#[test]
fn erased_personal_fields_break_nothing() {
    let kept = Kept::new();
    let verified = kept.tampered("DELETE FROM ledger_personal");
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    assert!(verified.out.contains("erased"), "{}", verified.out);
}

#[test]
fn what_is_no_ledger_or_no_key_is_said() {
    let kept = Kept::new();
    let (copy, junk) = (kept.copy.to_str().unwrap(), kept.root.path().join("junk"));
    std::fs::write(&junk, "not a database, but long enough to be asked about as if it could be one").unwrap();
    let junk = junk.to_str().unwrap();
    run(&["ledger", "verify", "--database", junk]).failed(2, &["not a database"]);
    run(&["ledger", "verify", "--database", "/nonexistent"]).failed(70, &["cannot be read"]);
    run(&["ledger", "verify", "--database", copy, "--key", junk])
        .failed(2, &["public key", "hallpass ledger key"]);
    let private = kept.root.path().join("data/keys/ledger");
    let refused = run(&["ledger", "verify", "--database", copy, "--key", private.to_str().unwrap()]);
    refused.failed(2, &["private key"]);
    assert!(!refused.err.contains("PRIVATE+KEY"), "a private key is never repeated");
}

#[test]
fn entries_are_listed_by_what_they_are_about() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    server.admin(&["person", "add", "grace", "--name", "Grace Hopper"]).json();
    let all = server.ledger(&["list"]).out;
    let hers = server.ledger(&["list", "--principal", "grace"]).out;
    assert!(hers.lines().count() < all.lines().count() && hers.contains("Grace Hopper"), "{hers}");
    assert_eq!(server.ledger(&["list", "--event", "refreshed"]).out, "");
    server.ledger(&["list", "--event", "refershed"]).failed(2, &["did you mean `refreshed`?"]);
    server.ledger(&["list", "--since", "yesterday"]).failed(2, &["neither a moment nor a length of time"]);
    for line in server.ledger(&["list", "--json"]).out.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(entry["schema"], "hallpass.ledger.entry/1");
    }
}
