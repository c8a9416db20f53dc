//! Keys of this process alone: a login for one command, which dies with it.

use std::collections::HashMap;
use std::sync::Mutex;

use super::RecordKey;

/// Keys by the name of their record, wiped when dropped.
#[derive(Default)]
pub(super) struct Memory(Mutex<HashMap<String, RecordKey>>);

impl Memory {
    pub(super) fn save(&self, name: &str, key: &RecordKey) {
        self.0.lock().expect("no thread panics holding this").insert(name.to_owned(), key.clone());
    }

    pub(super) fn find(&self, name: &str) -> Option<RecordKey> {
        self.0.lock().expect("no thread panics holding this").get(name).cloned()
    }

    pub(super) fn wipe(&self, name: &str) -> bool {
        self.0.lock().expect("no thread panics holding this").remove(name).is_some()
    }
}
