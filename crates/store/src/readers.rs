//! Connections that only read, and what is remembered of the directory.
//!
//! A read takes a few microseconds and runs where it is asked for. It sees everything that was answered before.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hallpass_model::id::OrgId;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::news::Board;
use crate::open::Store;

/// Connections that read at the same time. More than the cores of a small server, fewer than its memory minds.
pub(crate) const READERS: usize = 4;
/// Things of the directory that are remembered. At about a kilobyte each; beyond it everything is forgotten at once.
const REMEMBERED_MAX: usize = 4_096;

/// The connections, each used by one read at a time.
pub(crate) struct Readers {
    connections: Vec<Mutex<Connection>>,
    next: AtomicUsize,
    remembered: Mutex<HashMap<Known, Remembered>>,
}

/// Something of the directory that nearly every request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Known {
    /// An org by its name.
    OrgName(String),
    /// A client by its short name.
    Client(OrgId, String),
    /// A resource by its URL.
    Resource(OrgId, String),
}

struct Remembered {
    directory: u64,
    value: Arc<dyn Any + Send + Sync>,
}

impl Readers {
    pub(crate) fn new(connections: Vec<Connection>) -> Self {
        let connections = connections.into_iter().map(Mutex::new).collect();
        Self { connections, next: AtomicUsize::new(0), remembered: Mutex::default() }
    }

    /// A connection that is free, or the next whose turn it is.
    fn take(&self) -> MutexGuard<'_, Connection> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let turns =
            (0..self.connections.len()).map(|i| &self.connections[(first + i) % self.connections.len()]);
        // A read that panicked left no transaction open behind it: the connection is sound.
        for turn in turns {
            match turn.try_lock() {
                Ok(connection) => return connection,
                Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(std::sync::TryLockError::WouldBlock) => {}
            }
        }
        self.connections[first % self.connections.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        read(&self.take())
    }

    /// The same, remembered until the directory changes. That there is no such thing is not remembered: strangers
    /// could fill the memory with names.
    fn remember<T: Send + Sync + 'static>(
        &self,
        board: &Board,
        known: Known,
        read: impl FnOnce(&Connection) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<Arc<T>>, StoreError> {
        // Asked before the read: a change that lands in between makes what was read stale at once.
        let directory = board.directory();
        let lock = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lock().get(&known).filter(|r| r.directory == directory).map(|r| Arc::clone(&r.value));
        if let Some(value) = found.and_then(|value| value.downcast::<T>().ok()) {
            return Ok(Some(value));
        }
        let Some(value) = self.read(read)?.map(Arc::new) else { return Ok(None) };
        let mut remembered = lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(known, Remembered { directory, value: Arc::<T>::clone(&value) });
        Ok(Some(value))
    }
}

impl Store {
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.inner.readers.read(read)
    }

    pub(crate) fn remember<T: Send + Sync + 'static>(
        &self,
        known: Known,
        read: impl FnOnce(&Connection) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<Arc<T>>, StoreError> {
        self.inner.readers.remember(&self.inner.board, known, read)
    }
}
