//! Keys of this process alone: a login for one command, which dies with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use super::{Fault, Keeper, RecordKey};

/// Keys by name, wiped when dropped.
#[derive(Default)]
pub(super) struct Memory(Mutex<HashMap<String, RecordKey>>);

impl Memory {
    fn keys(&self) -> MutexGuard<'_, HashMap<String, RecordKey>> {
        self.0.lock().expect("no thread panics holding this")
    }
}

impl Keeper for Memory {
    fn save(&self, name: &str, key: &RecordKey) -> Result<(), Fault> {
        self.keys().insert(name.to_owned(), key.clone());
        Ok(())
    }

    fn find(&self, name: &str) -> Result<Option<RecordKey>, Fault> {
        Ok(self.keys().get(name).cloned())
    }

    fn wipe(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.keys().remove(name).is_some())
    }

    fn wipe_all(&self, beginning: &str, but: Option<&str>) -> Result<bool, Fault> {
        let mut keys = self.keys();
        let before = keys.len();
        keys.retain(|name, _| !name.starts_with(beginning) || but == Some(name));
        Ok(keys.len() < before)
    }
}
