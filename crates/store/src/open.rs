//! The store: opening it, changing it, and hearing what happened.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hallpass_model::cut::Target;
use hallpass_model::id::GrantId;
use hallpass_model::ledger::{Actor, LedgerKey, VerifierKey};
use hallpass_model::random::Entropy;
use hallpass_model::time::Timestamp;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{broadcast, watch};

use crate::change::{Change, Core};
use crate::copier::Copier;
use crate::error::{OpenError, StoreError};
use crate::folder::Folder;
use crate::news::Board;
use crate::outside::{Outside, Scribe};
use crate::readers::{READERS, Readers};
use crate::seal::{KeyEncryptionKey, Keys};
use crate::vouch::Doubt;
use crate::writer::Writer;
use crate::{ledger, meta, migrate, vouch};

/// The one door to what must survive a restart. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    // Dropped in this order: the writer ends and the readers close before the file and the folder are let go.
    writer: Writer,
    pub(crate) readers: Readers,
    pub(crate) board: Arc<Board>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) strangers: crate::refusals::Strangers,
    pub(crate) secret_uses: crate::client_secrets::Uses,
    pub(crate) key_uses: crate::key_users::Uses,
    pub(crate) place: StorePlace,
    _database: Arc<File>,
    _folder: Folder,
}

/// Where a store is.
#[derive(Debug, Clone)]
pub struct StorePlace {
    /// The data folder. It is made if it is not there, 0700.
    pub data: PathBuf,
    /// Where the newest signed checkpoint is kept outside the database: a file beside the ledger's key. SECURITY: without
    /// one, a ledger that was changed while no server ran, with all its traces, is signed on as it is.
    pub outside: Option<PathBuf>,
    /// How SQLite is driven: as it should be, except where a test breaks it on purpose.
    pub engine: Engine,
}

impl StorePlace {
    /// The store in this folder, with nothing outside it.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), outside: None, engine: Engine::default() }
    }

    /// The same, with the newest checkpoint kept in this file.
    #[must_use]
    pub fn with_outside(self, file: impl Into<PathBuf>) -> Self {
        Self { outside: Some(file.into()), ..self }
    }
}

/// How SQLite is driven. The default is the only one to serve with.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    /// A VFS registered under this name, in place of the system's own.
    pub vfs: Option<String>,
    /// Commits without waiting for the disk. Loses what was acknowledged; only for showing that a test can tell.
    pub unsafe_no_sync: bool,
    /// Copies the log into the database after so many pages, in place of the usual number: for a test that wants to be
    /// there when it happens.
    pub checkpoint_pages: Option<u32>,
}

/// The keys of a store. Neither is kept in it.
#[derive(Debug)]
pub struct StoreKeys {
    /// What the store's root is encrypted under, which everything secret in it is under.
    pub kek: KeyEncryptionKey,
    /// The one before it, if it takes that one's place: the root is encrypted anew when the store is opened.
    pub previous: Option<KeyEncryptionKey>,
    /// What checkpoints are signed with.
    pub ledger: LedgerKey,
}

impl Store {
    /// Opens the store in a data folder, making it if it is new, and holds the folder until the last clone is dropped.
    ///
    /// A database whose ledger does not extend what was signed is refused.
    ///
    /// Blocks for as long as the disk takes, which is short but for a migration.
    pub fn open(
        place: StorePlace,
        keys: StoreKeys,
        entropy: Arc<dyn Entropy>,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let folder = Folder::hold(&place.data)?;
        let outside = place.outside.clone().map(Outside::new);
        if !folder.has_database() {
            folder.refuse_if_gone()?;
            refuse_if_signed(outside.as_ref(), &keys.ledger)?;
        }
        let database = folder.database()?;
        let mut db = connect(&database, &place.engine, Access::Write)?;
        migrate::migrate(&mut db, now).map_err(|error| at(&place.data, error))?;
        let opened = meta::open(&db, keys, &*entropy, now).map_err(|error| at(&place.data, error))?;
        let meta::Opened { meta, keys, takes_over } = opened;
        let keys = Arc::new(keys);
        if let Some(doubt) = vouch::doubt_inside(&db, &meta.frontier, &keys.ledger.verifier())? {
            return Err(doubt.into());
        }
        let mut core = Core::new(db, Arc::clone(&keys), entropy, meta);
        if let Some(takes_over) = takes_over {
            ledger::change_and_sign(&mut core, takes_over, Actor::Operator, now)?;
        }
        let file = |source| OpenError::File { path: place.data.clone(), source };
        if let Some(outside) = outside {
            outside.settle(&mut core, now)?;
            core.scribe = Some(Scribe::start(outside).map_err(file)?);
        }
        let own = connect(&database, &place.engine, Access::Write)?;
        let pages = place.engine.checkpoint_pages.unwrap_or(CHECKPOINT_PAGES);
        let held = Arc::new(File::open(&database).map_err(file)?);
        core.copier = Some(Copier::start(&mut core.db, own, Arc::clone(&held), pages).map_err(file)?);
        let readers: Result<Vec<_>, _> =
            (0..READERS).map(|_| connect(&database, &place.engine, Access::Read)).collect();

        let board = Arc::new(Board::new(core.frontier.size()));
        let writer = Writer::start(core, Arc::clone(&board)).map_err(file)?;
        let readers = Readers::new(readers?);
        let strangers = crate::refusals::Strangers::default();
        Ok(Self {
            inner: Arc::new(Inner {
                writer,
                readers,
                board,
                keys,
                strangers,
                secret_uses: crate::client_secrets::Uses::default(),
                key_uses: crate::key_users::Uses::default(),
                place,
                _database: held,
                _folder: folder,
            }),
        })
    }

    /// Since when the key-encryption key is the one that it is, if that was written down.
    pub async fn kek_since(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(meta::kek_since)
    }

    /// Runs one whole operation, and answers once it is durable. Dropping the future does not take it back.
    pub async fn change<C: Change>(
        &self,
        actor: Actor,
        now: Timestamp,
        change: C,
    ) -> Result<C::Outcome, StoreError> {
        self.inner.writer.change(actor, now, change).await
    }

    /// Device grants as they are answered. A hint: somebody who misses one polls again and finds it.
    pub fn device_answers(&self) -> broadcast::Receiver<GrantId> {
        self.inner.board.answers()
    }

    /// Cuts as they are made. A hint: [`Store::is_dead`] says what is so.
    pub fn cuts_made(&self) -> broadcast::Receiver<Target> {
        self.inner.board.cuts()
    }

    /// The ledger's size, as it grows.
    pub fn ledger_follow(&self) -> watch::Receiver<u64> {
        self.inner.board.ledger()
    }

    /// What others verify the ledger's checkpoints with.
    pub fn ledger_verifier(&self) -> VerifierKey {
        self.inner.keys.ledger.verifier()
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.inner.place.data.display())
    }
}

/// Refuses to begin a ledger with a key that has signed one: there was a database, and it is not here.
fn refuse_if_signed(outside: Option<&Outside>, key: &LedgerKey) -> Result<(), OpenError> {
    let Some(outside) = outside else { return Ok(()) };
    match outside.find(&key.verifier())? {
        Some(kept) if kept.size > 0 => {
            Err(Doubt::Shorter { by: outside.signed(), size: kept.size, found: 0 }.into())
        }
        _ => Ok(()),
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// The writer's.
    Write,
    /// A reader's.
    Read,
}

/// Opens a connection with everything set that keeps data whole and secret.
pub(crate) fn connect(database: &Path, engine: &Engine, access: Access) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let opened = match &engine.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(database, flags, vfs.as_str()),
        None => Connection::open_with_flags(database, flags),
    };
    let data = database.parent().unwrap_or(database);
    let db = opened.map_err(|error| at(data, error.into()))?;
    set_up(&db, engine, access).map_err(|error| at(data, error.into()))?;
    Ok(db)
}

fn set_up(db: &Connection, engine: &Engine, access: Access) -> rusqlite::Result<()> {
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    db.busy_timeout(BUSY_WAIT)?;
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Without the planner's stability guarantee a statement is prepared anew whenever a bound value changes, which
    // costs more than all the rest of a refresh.
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.execute_batch("PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;")?;
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    match access {
        Access::Write => {
            let _mode: String = db.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
            // SECURITY: FULL syncs the log at every commit; anything less may lose what was acknowledged.
            db.pragma_update(None, "synchronous", if engine.unsafe_no_sync { "OFF" } else { "FULL" })?;
            db.pragma_update(None, "journal_size_limit", LOG_KEPT_BYTES)
        }
        Access::Read => db.pragma_update(None, "query_only", true),
    }
}

/// An engine that cannot write says so of the folder.
fn at(data: &Path, error: OpenError) -> OpenError {
    match error {
        OpenError::Backend(_) if is_unwritable(data) => OpenError::ReadOnly(data.to_owned()),
        other => other,
    }
}

fn is_unwritable(data: &Path) -> bool {
    use rustix::fs::{Access, access};
    access(data, Access::WRITE_OK).is_err()
        || access(data.join(crate::folder::DATABASE), Access::WRITE_OK).is_err()
}

/// Every statement there is, and room.
const STATEMENTS_KEPT: usize = 256;
/// Readers never block in WAL mode; this is for the moments of recovery and checkpoint.
const BUSY_WAIT: std::time::Duration = std::time::Duration::from_secs(5);
/// Page cache of each connection, in KiB. The system's own cache holds the rest.
const CACHE_KIB: i64 = 4 * 1024;
/// The log is copied into the database after so many pages (8 MiB): rarely enough to be cheap, often enough to be short.
const CHECKPOINT_PAGES: u32 = 2_000;
/// What is kept of the log's file after that.
const LOG_KEPT_BYTES: i64 = 16 * 1024 * 1024;
