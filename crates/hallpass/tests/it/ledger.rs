//! `hallpass ledger`: reading it, and proving a copy whole or broken.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hallpass_model::ledger::{Frontier, Hash};
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

#[test]
fn a_proof_is_checked_by_the_ledger_s_key_alone() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let file = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("key"), server.ledger(&["key"]).out).unwrap();
    assert_eq!(server.ledger(&["checkpoint", &file("earlier")]).code, 0);
    server.admin(&["person", "add", "grace"]).json();
    assert_eq!(server.ledger(&["prove", "--entry", "1", &file("entry")]).code, 0);
    assert_eq!(server.ledger(&["prove", "--since", &file("earlier"), &file("grown")]).code, 0);
    server.ledger(&["prove", "--entry", "4711"]).failed(1, &["there is no entry 4711"]);
    server.ledger(&["prove"]).failed(2, &["--entry"]);
    let shown = server.ledger(&["prove", "--entry", "1", "--json"]).json();
    assert!(shown["proof"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1\n"), "{shown}");
    server.stop();
    std::fs::remove_dir_all(root.path().join("data")).unwrap();

    let verify = |more: &[&str]| run(&[&["ledger", "verify", "--key", &file("key")], more].concat());
    let entry = verify(&["--proof", &file("entry")]);
    assert_eq!(entry.code, 0, "{}", entry.err);
    assert!(
        entry.out.starts_with("proven: entry 1 is in the ledger of ") && entry.out.contains("\"seq\":1"),
        "{}",
        entry.out
    );
    let grown = verify(&["--proof", &file("grown"), "--since", &file("earlier"), "--json"]).json();
    assert_eq!((&grown["proven"], &grown["schema"]), (&true.into(), &"hallpass.ledger.proven/1".into()));
    verify(&["--proof", &file("grown")]).failed(2, &["--since"]);

    let bent = std::fs::read_to_string(file("entry")).unwrap().replace("index 1", "index 2");
    std::fs::write(file("bent"), bent).unwrap();
    let refused = verify(&["--proof", &file("bent")]);
    assert_eq!(refused.out, "", "what is not proven is not shown");
    refused.failed(1, &["proves nothing"]);
    verify(&["--proof", &file("key")]).failed(2, &["it is not a proof"]);
    run(&["ledger", "verify", "--proof", &file("entry")]).failed(2, &["--key"]);
}

#[test]
fn a_ledger_that_was_put_back_does_not_grow_from_a_checkpoint_of_what_was_lost() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let file = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    server.admin(&["backup", &file("backup.db")]).json();
    for n in 0..5 {
        server.admin(&["person", "add", &format!("person-{n}")]).json();
    }
    assert_eq!(server.ledger(&["checkpoint", &file("lost")]).code, 0);
    let data = server.folder.to_str().unwrap().to_owned();
    server.stop();
    assert_eq!(run(&["admin", "restore", &file("backup.db"), "--yes", "--data", &data]).code, 0);
    let server = Server::start(root.path(), &[]);
    server.ledger(&["prove", "--since", &file("lost")]).failed(1, &["put back from a backup"]);
    for n in 0..5 {
        server.admin(&["person", "add", &format!("other-{n}")]).json();
    }
    server.ledger(&["prove", "--since", &file("lost")]).failed(1, &["does not begin with"]);
}

#[test]
fn what_is_personal_about_somebody_is_erased_for_good_and_recorded() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    server.admin(&["person", "add", "grace", "--name", "Grace Hopper"]).json();
    assert!(server.ledger(&["list", "--json"]).out.contains("Grace Hopper"));
    server.admin(&["person", "erase", "grace"]).failed(2, &["needs a yes", "--yes"]);
    assert!(server.ledger(&["list", "--json"]).out.contains("Grace Hopper"));
    let erased = server.admin(&["person", "erase", "grace", "--yes"]).json();
    assert!(erased["entries"].as_u64().unwrap() >= 1, "{erased}");
    let entries = server.ledger(&["list", "--json"]).out;
    assert!(!entries.lines().any(|line| line.contains("\"name\":\"Grace Hopper\"")), "{entries}");
    assert_ne!(server.ledger(&["list", "--event", "erased"]).out, "");
    let verified = server.ledger(&["verify"]);
    assert!(verified.code == 0 && verified.out.contains("erased"), "{}", verified.out);
}

#[test]
fn a_server_does_not_start_on_a_ledger_that_was_edited_and_says_how_to_go_on() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let data = server.folder.clone();
    let outside = data.join("keys/ledger.checkpoint");
    server.stop();
    assert_eq!(std::fs::metadata(&outside).unwrap().permissions().mode() & 0o7777, 0o600);
    let database = data.join("hallpass.db");
    let at = |path: &Path| path.to_str().unwrap().to_owned();
    // The end is cut off, and every trace of it in the database.
    {
        let db = Connection::open(&database).unwrap();
        let (mut tree, mut leaves) =
            (Frontier::new(), db.prepare("SELECT leaf FROM ledger ORDER BY seq LIMIT 2").unwrap());
        for leaf in leaves.query_map((), |row| row.get::<_, String>(0)).unwrap() {
            tree.append(Hash::of_leaf(leaf.unwrap().as_bytes()), |_| ());
        }
        db.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM ledger_personal WHERE seq > 1; DELETE FROM ledger WHERE seq > 1; DELETE FROM checkpoints").unwrap();
        db.execute("UPDATE meta SET frontier = ?1", [tree.to_bytes()]).unwrap();
    }
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--data", &at(&data)]);
    refused.failed(70, &["not the one that was signed", "the end was cut off", "--accept-ledger"]);
    let restore = ["admin", "--json", "restore", &at(&database), "--yes", "--data", &at(&data)];
    run(&restore).failed(1, &["not one to sign on", "--accept-ledger"]);
    let restored = run(&[&restore[..], &["--accept-ledger"]].concat()).json();
    assert_eq!(restored["accepted"].as_array().unwrap().len(), 1, "{restored}");
    let server = Server::start(root.path(), &[]);
    assert_ne!(server.ledger(&["list", "--event", "accepted"]).out, "");
}
