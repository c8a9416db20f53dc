//! Putting a backup back.
//!
//! 1. It is copied beside the database, and its ledger verified whole: what is signed on afterwards must be what was
//!    signed before, to its last entry.
//! 2. A restore loses what happened since the backup. So that nothing revoked since comes alive again, it cuts every
//!    session older than itself, unless it is told to keep them; and it says what comes back all the same.
//! 3. The old database is put aside, with its log, and the new one takes its place. Whatever stops that half way, the
//!    next start finds a whole database, or refuses; it never begins an empty one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hallpass_model::cut::{Stamp, Why};
use hallpass_model::id::LeaseId;
use hallpass_model::ledger::{Actor, Checkpoint, Detail, Entry, Event, Frontier, Hash, Key, VerifierKey};
use hallpass_model::random::Entropy;
use hallpass_model::time::Timestamp;
use rusqlite::{Connection, OpenFlags};

use crate::backup::{copy_all, open_plain};
use crate::change::{Change, Core, Tx};
use crate::copy::LedgerCopy;
use crate::error::{OpenError, StoreError};
use crate::folder::{DATABASE, Folder, REPLACED, RESTORING, create, failed, remove_if_there, sync_folder};
use crate::ledger::KEPT_LEVEL;
use crate::open::{Access, Engine, StoreKeys, StorePlace, connect};
use crate::outside::Outside;
use crate::returned::Returned;
use crate::sql::{Columns, Sql};
use crate::vouch::{self, Signed};
use crate::{ledger, meta, migrate};

/// What is put back, where, and how.
#[derive(Debug)]
pub struct Restore<'a> {
    /// The backup, or any database of this store's.
    pub from: &'a Path,
    /// Where it is put. No server may hold it. What stands there is put aside, not removed.
    pub place: &'a StorePlace,
    /// Sessions of the backup live on, and a refresh token that is ahead of its row is believed once: what was revoked
    /// since the backup is then alive again.
    pub keep_sessions: bool,
    /// A ledger that is not as it was signed is taken as it is found, and says so.
    pub accept_ledger: bool,
}

/// A store that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where the store that stood there before was put, if one did.
    pub replaced: Option<PathBuf>,
    /// A signed checkpoint over the ledger, the entry of the restore included.
    pub checkpoint: String,
    /// What was wrong with the ledger, and was accepted.
    pub accepted: Vec<String>,
    /// What came back to life. `None` if there was nothing to compare with that could be read.
    pub returned: Option<Returned>,
}

/// Why a backup was not put back. What stood in the folder stands.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It cannot be read, or is no backup of ours.
    #[error("`{path}` is not a backup that can be read: {why}")]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Its ledger is not as it was signed, or not signed to its end.
    #[error("the ledger in `{path}` is not one to sign on: {}", .wrong.join("; "))]
    Ledger {
        /// The file.
        path: PathBuf,
        /// What is wrong: some of it, if it is much.
        wrong: Vec<String>,
    },
    /// An entry is missing from the middle of its ledger, which cannot be accepted: there is no tree over a gap.
    #[error("in the ledger in `{path}` entry {seq} is missing: there is no going on from that")]
    Gap {
        /// The file.
        path: PathBuf,
        /// Which.
        seq: u64,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

/// Puts a backup back.
pub fn restore(
    how: &Restore<'_>,
    keys: StoreKeys,
    entropy: Arc<dyn Entropy>,
    now: Timestamp,
) -> Result<Restored, RestoreError> {
    let folder = Folder::hold(&how.place.data)?;
    let fresh = folder.path().join(RESTORING);
    let outside = how.place.outside.clone().map(Outside::new);
    let prepared = prepare(how, &fresh, outside.as_ref(), keys, entropy, now);
    let (checkpoint, accepted) = prepared.inspect_err(|_| {
        // Left behind, it would say that a restore was interrupted.
        for ending in ["", "-journal", "-wal", "-shm"] {
            let _absent = std::fs::remove_file(with_ending(&fresh, ending));
        }
    })?;
    let returned = compare(&fresh, &folder.path().join(DATABASE));
    let replaced = put_in_place(folder.path(), &fresh, outside.as_ref(), &checkpoint, now)?;
    Ok(Restored { replaced, checkpoint, accepted, returned })
}

/// Makes the database that is to take the place: what the backup holds, verified, marked and signed. Gives the checkpoint
/// over it, and what was wrong with its ledger.
fn prepare(
    how: &Restore<'_>,
    fresh: &Path,
    outside: Option<&Outside>,
    keys: StoreKeys,
    entropy: Arc<dyn Entropy>,
    now: Timestamp,
) -> Result<(String, Vec<String>), RestoreError> {
    copy_in(how.from, fresh)?;
    let mut db = connect(fresh, &Engine::default(), Access::Write)?;
    migrate::migrate(&mut db, now)?;
    let meta::Opened { meta, keys, takes_over } = meta::open(&db, keys, &*entropy, now)?;
    let wrong = wrong_with(how.from, fresh, keys.ledger.verifier())?;
    let mut core = Core::new(db, Arc::new(keys), entropy, meta);
    if let Some(takes_over) = takes_over {
        ledger::change_and_sign(&mut core, takes_over, Actor::Operator, now)?;
    }
    if !wrong.is_empty() {
        if !how.accept_ledger {
            return Err(RestoreError::Ledger { path: how.from.to_owned(), wrong });
        }
        mend(&mut core, how.from)?;
    }
    let mark = MarkRestored {
        keep_sessions: how.keep_sessions,
        wrong: wrong.len() as u32,
        // One that is not to be relied on tells nothing of what was given up.
        given_up: outside.and_then(|outside| outside.find(&core.keys.ledger.verifier()).ok().flatten()),
    };
    let checkpoint = ledger::change_and_sign(&mut core, mark, Actor::Operator, now)?;
    let _mode: String =
        core.db.query_row("PRAGMA journal_mode = DELETE", (), |row| row.get(0)).map_err(StoreError::from)?;
    Ok((checkpoint, wrong))
}

fn copy_in(from: &Path, fresh: &Path) -> Result<(), RestoreError> {
    let unreadable = |why: String| RestoreError::NotABackup { path: from.to_owned(), why };
    let real = from.canonicalize().map_err(|error| unreadable(error.to_string()))?;
    let source =
        open_plain(&real, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| unreadable(error.to_string()))?;
    let found: String = source
        .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
        .map_err(|error| unreadable(error.to_string()))?;
    if found != "ok" {
        return Err(unreadable(found));
    }
    remove_if_there(fresh).map_err(|source| OpenError::File { path: fresh.to_owned(), source })?;
    create(fresh).map_err(|errno| failed(fresh, errno))?;
    let mut copy = open_plain(fresh, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(StoreError::from)?;
    Ok(copy_all(&source, &mut copy)?)
}

/// What is wrong with the ledger of a copy. SECURITY: the copy is looked at, not the file it was made from, which could
/// be another by now.
fn wrong_with(from: &Path, copy: &Path, key: VerifierKey) -> Result<Vec<String>, RestoreError> {
    let verified = LedgerCopy::open(copy)
        .and_then(|copy| copy.verify(Some(key), None))
        .map_err(|error| RestoreError::NotABackup { path: from.to_owned(), why: error.to_string() })?;
    let report = &verified.report;
    let findings = report.findings.iter().map(ToString::to_string);
    let mut wrong: Vec<String> =
        findings.chain(verified.beside.iter().map(ToString::to_string)).take(NAMED_MAX).collect();
    let signed = report.proven.unwrap_or(0);
    if wrong.is_empty() && signed < report.entries {
        wrong.push(format!("its entries from {signed} on are under no signed checkpoint"));
    }
    Ok(wrong)
}

/// What a person reads of what is wrong; `ledger verify` says it all.
const NAMED_MAX: usize = 10;

/// Makes the tree anew over the entries as they are found, and lets go of checkpoints that disagree: they stay in the
/// database that is put aside.
fn mend(core: &mut Core, from: &Path) -> Result<(), RestoreError> {
    core.db.run("BEGIN IMMEDIATE", ())?;
    core.db.run("DELETE FROM ledger_nodes", ())?;
    let mut tree = Frontier::new();
    while let Some(leaf) =
        core.db.one("SELECT leaf FROM ledger WHERE seq = ?1", [tree.size() as i64], |row| {
            Ok(row.get_ref(0)?.as_bytes()?.to_vec())
        })?
    {
        let hash = Hash::of_leaf(&leaf);
        core.db.run(
            "UPDATE ledger SET hash = ?2 WHERE seq = ?1 AND hash <> ?2",
            (tree.size() as i64, &hash.0),
        )?;
        let mut kept = Vec::new();
        tree.append(hash, |node| kept.extend((node.level >= KEPT_LEVEL).then_some(node)));
        for node in kept {
            core.db.run(
                "INSERT INTO ledger_nodes (level, position, hash) VALUES (?1, ?2, ?3)",
                (node.level, node.index as i64, &node.hash.0),
            )?;
        }
    }
    let rows: i64 = core.db.one("SELECT count(*) FROM ledger", (), |row| row.get(0))?.unwrap_or(0);
    if rows as u64 != tree.size() {
        return Err(RestoreError::Gap { path: from.to_owned(), seq: tree.size() });
    }
    drop_disagreeing(core, &tree)?;
    core.frontier = tree;
    meta::save(core)?;
    core.db.run("COMMIT", ())?;
    Ok(())
}

fn drop_disagreeing(core: &Core, tree: &Frontier) -> Result<(), StoreError> {
    let key = core.keys.ledger.verifier();
    let mut after = None;
    while let Some((size, note)) = core.db.one(
        "SELECT size, note FROM checkpoints WHERE ?1 IS NULL OR size > ?1 ORDER BY size LIMIT 1",
        [after],
        |row| Ok((row.get::<_, i64>(0)?, row.text(1)?)),
    )? {
        let agrees = match Checkpoint::open(&note, &key) {
            Ok(checkpoint) => {
                checkpoint.size == size as u64
                    && vouch::doubt(&core.db, tree, &checkpoint, Signed::Inside)?.is_none()
            }
            Err(_) => false,
        };
        if !agrees {
            core.db.run("DELETE FROM checkpoints WHERE size = ?1", [size])?;
        }
        after = Some(size);
    }
    Ok(())
}

/// Makes the cut, and records the restore.
struct MarkRestored {
    keep_sessions: bool,
    /// How much was found wrong with the ledger, and accepted.
    wrong: u32,
    /// The newest checkpoint outside: the history that it was of ends here, as far as this database knows.
    given_up: Option<Checkpoint>,
}

impl Change for MarkRestored {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        // One-time things may have been used since the backup: none of them works again.
        for statement in [
            // One that has ended since would go on.
            "DELETE FROM runs",
            "DELETE FROM links",
            "DELETE FROM ceremonies",
            "DELETE FROM requests",
            "DELETE FROM pushed_requests",
            "DELETE FROM codes",
            "DELETE FROM device_grants",
            "UPDATE registration_policies SET token = NULL, token_uses = 0",
        ] {
            tx.db().run(statement, ())?;
        }
        let before: Stamp = tx.core.clock.last;
        // What was issued since the backup has stamps up to about now; what is issued from here on has greater ones.
        let upto = tx.cut_stamp();
        let reason = match self.keep_sessions {
            true => {
                // Nobody holds these runs any more: their passes must not outlive them because their sessions do.
                let runs: Vec<LeaseId> = tx.db().all("SELECT id FROM leases", (), |row| row.id(0))?;
                for run in runs {
                    crate::leases::end(tx, run, Why::Restored)?;
                }
                tx.db().run("UPDATE meta SET adopt_upto = ?1 WHERE id = 0", [before.0])?;
                tx.core.adopt_upto = before;
                "sessions_kept"
            }
            false => {
                tx.db().run("DELETE FROM leases", ())?;
                crate::cuts::cut_everything(tx.db(), upto, tx.now)?;
                "sessions_cut"
            }
        };
        if self.wrong > 0 {
            let detail = Detail::new().with(Key::REASON, "restored_as_found").with(Key::COUNT, self.wrong);
            tx.record(Entry { detail, ..tx.entry(Event::Accepted) });
        }
        let mut detail = Detail::new().with(Key::REASON, reason).with(Key::STAMP, upto.0);
        if let Some(given_up) = self.given_up.filter(|given_up| given_up.size > 0) {
            detail = detail
                .with(Key::SEQ_LAST, given_up.size as i64 - 1)
                .with(Key::ROOT, given_up.root.to_string());
        }
        tx.record(Entry { detail, ..tx.entry(Event::Restored) });
        Ok(())
    }
}

/// What the new database brings back that the old one had ended.
fn compare(fresh: &Path, before: &Path) -> Option<Returned> {
    let read = |path: &Path| open_plain(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok();
    // A database that is damaged, or of another schema, tells nothing.
    Returned::of(&read(fresh)?, &read(before)?).ok()
}

/// Step 3. Every line is durable before the next, and the next start can make sense of what any one of them leaves.
fn put_in_place(
    folder: &Path,
    fresh: &Path,
    outside: Option<&Outside>,
    checkpoint: &str,
    now: Timestamp,
) -> Result<Option<PathBuf>, OpenError> {
    let place = folder.join(DATABASE);
    let file = |source| OpenError::File { path: place.clone(), source };
    if let Some(outside) = outside
        && let Err(source) = outside.promise_to_keep(checkpoint)
    {
        // What is kept there now will not agree with the new database.
        if outside.is_there() {
            return Err(OpenError::File { path: outside.path().to_owned(), source });
        }
        outside.unkept(&source);
    }
    crash_point()?;
    let replaced = put_aside(folder, now)?;
    std::fs::rename(fresh, &place).map_err(file)?;
    sync_folder(&place).map_err(file)?;
    crash_point()?;
    if let Some(outside) = outside
        && let Err(error) = outside.keep(checkpoint)
    {
        // The next start keeps the promise.
        outside.unkept(&error);
    }
    Ok(replaced)
}

/// Gives a store that stands in the folder a second name, its log with it, and clears its place of whatever the new
/// database must not meet there. The old one itself stays until the new one is renamed over it.
fn put_aside(folder: &Path, now: Timestamp) -> Result<Option<PathBuf>, OpenError> {
    let place = folder.join(DATABASE);
    let there = |path: &Path| path.symlink_metadata().is_ok();
    let file = |source| OpenError::File { path: place.clone(), source };
    fold_log(&place);
    let aside = (now.millis()..).map(|n| folder.join(format!("{REPLACED}{n}.db"))).find(|path| !there(path));
    let aside = aside.expect("there are more numbers than files");
    let had_one = there(&place);
    for ending in ["-wal", ""] {
        let from = with_ending(&place, ending);
        if there(&from) {
            second_name(&from, &with_ending(&aside, ending)).map_err(file)?;
        }
    }
    sync_folder(&place).map_err(file)?;
    crash_point()?;
    let log = with_ending(&place, "-wal");
    if there(&log) {
        // The log could not be folded into the old database, so that is not whole without it; and SQLite would fold it
        // into the new one. So there is neither for a moment: a start in it is refused.
        remove_if_there(&place).map_err(file)?;
        sync_folder(&place).map_err(file)?;
        crash_point()?;
        remove_if_there(&log).map_err(file)?;
    }
    remove_if_there(&with_ending(&place, "-shm")).map_err(file)?;
    sync_folder(&place).map_err(file)?;
    crash_point()?;
    Ok(had_one.then_some(aside))
}

/// Copies what is in the log into the database, so that it is whole without one. A damaged one is left as it is.
fn fold_log(database: &Path) {
    let fold = |db: Connection| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
    if database.exists() {
        // When the connection closes, the log is gone, or something is wrong with it.
        let _folded = connect(database, &Engine::default(), Access::Write).map(fold);
    }
}

/// A second name for the same file; a copy where the file system has no such thing.
fn second_name(from: &Path, to: &Path) -> std::io::Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to)?;
    std::fs::File::open(to)?.sync_all()
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Where a crash would leave things half done: a test has it come.
fn crash_point() -> Result<(), OpenError> {
    #[cfg(test)]
    tests::crash_here()?;
    Ok(())
}

#[cfg(test)]
mod tests;
