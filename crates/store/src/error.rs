//! What can go wrong with the store itself. "Not there" is an `Option` or an outcome, never an error.

use std::path::PathBuf;

use crate::vouch::Doubt;

/// Why a change or a read did not happen. Nothing of it was kept.
///
/// INVARIANT: after `Backend` or `Damaged` from a change, and after no other, the change may yet be found done: the
/// disk failed while it was made durable. Asking again must be, and is, safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// More changes wait than the queue holds. Try again shortly.
    #[error("the store is busy: too many changes are waiting")]
    Busy,
    /// No space is left. Changes work again as soon as there is some.
    #[error("the disk of the data folder is full")]
    Full,
    /// The files may not be written to.
    #[error("the data folder cannot be written to")]
    ReadOnly,
    /// What is on disk is not what was put there.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The change panicked: a mistake in Hallpass. It was undone, and the others went on.
    #[error("the change failed inside and was undone")]
    Broken,
    /// Another failure of the engine or the disk.
    #[error("the store failed: {0}")]
    Backend(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        use rusqlite::ErrorCode as C;
        match &error {
            E::SqliteFailure(failure, _) => match failure.code {
                C::DiskFull => Self::Full,
                C::ReadOnly | C::CannotOpen | C::PermissionDenied => Self::ReadOnly,
                C::DatabaseCorrupt | C::NotADatabase => Self::Damaged(error.to_string()),
                C::DatabaseBusy | C::DatabaseLocked => Self::Busy,
                _ => Self::Backend(error.to_string()),
            },
            E::FromSqlConversionFailure(..) | E::InvalidColumnType(..) | E::IntegralValueOutOfRange(..) => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Backend(error.to_string()),
        }
    }
}

/// Why a data folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server holds the folder.
    #[error("another server is running on `{0}`")]
    InUse(PathBuf),
    /// The folder or a file in it may not be written to.
    #[error("the data folder `{0}` cannot be written to")]
    ReadOnly(PathBuf),
    /// A symbolic link stands where a folder or file of ours belongs: it could lead anywhere.
    #[error("`{0}` is a symbolic link, and the store does not follow them")]
    Symlink(PathBuf),
    /// It was written by a newer Hallpass.
    #[error(
        "the store has schema {found}, and this program knows none above {known}: it was written by a newer one"
    )]
    Newer {
        /// The schema on disk.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// A key is not the one the store was made with.
    #[error("the {0} is not the one this store was made with")]
    WrongKey(&'static str),
    /// What is on disk is not what was put there.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The ledger does not extend what was signed. Signing on would vouch for whatever was done to it.
    #[error("the ledger is not the one that was signed: {0}")]
    Ledger(#[from] Doubt),
    /// There is no database, and something beside its place shows that there was one.
    #[error("the database is missing, and `{beside}` shows that there was one")]
    Gone {
        /// What shows it.
        beside: PathBuf,
    },
    /// No space is left.
    #[error("the disk of the data folder is full")]
    Full,
    /// Another failure of the engine.
    #[error("the store could not be opened: {0}")]
    Backend(String),
    /// Another failure of the file system.
    #[error("`{path}` could not be opened: {source}")]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(what) => Self::Damaged(what),
            StoreError::Full => Self::Full,
            other => Self::Backend(other.to_string()),
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}
