//! Keys of this process alone: a login for one command, which dies with it, and what rests in the daemon. Sealed under a key
//! that is not swapped out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use super::{Fault, Keeper, RecordKey};
use crate::locked::{LockedKey, Sealed};

/// Keys by name.
#[derive(Default)]
pub(super) struct Memory(Mutex<Keys>);

#[derive(Default)]
struct Keys {
    /// Made with the first: most commands have none.
    under: Option<LockedKey>,
    sealed: HashMap<String, Sealed>,
}

impl Memory {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().expect("no thread panics holding this")
    }
}

impl Keeper for Memory {
    fn save(&self, name: &str, key: &RecordKey) -> Result<(), Fault> {
        let mut keys = self.keys();
        let sealed = keys.under.get_or_insert_default().seal(&key[..]);
        keys.sealed.insert(name.to_owned(), sealed);
        Ok(())
    }

    fn find(&self, name: &str) -> Result<Option<RecordKey>, Fault> {
        let keys = self.keys();
        let (Some(under), Some(sealed)) = (&keys.under, keys.sealed.get(name)) else { return Ok(None) };
        let key = under.open(sealed);
        Ok(Some(RecordKey::new(key.as_slice().try_into().expect("a key of 32 bytes was sealed"))))
    }

    fn wipe(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.keys().sealed.remove(name).is_some())
    }

    fn wipe_all(&self, beginning: &str, but: Option<&str>) -> Result<bool, Fault> {
        let sealed = &mut self.keys().sealed;
        let before = sealed.len();
        sealed.retain(|name, _| !name.starts_with(beginning) || but == Some(name));
        Ok(sealed.len() < before)
    }
}
