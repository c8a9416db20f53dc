//! From settings to an open store: the folder, the two keys, the database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_store::{DATABASE, Doubt, KeyEncryptionKey, OpenError, Store, StoreKeys, StorePlace, is_new};

use crate::failure::{Exit, Failure};
use crate::keyfile::{self, KeyFileError};
use crate::output::Output;
use crate::settings::{KEYS_FOLDER, Settings};
use crate::{clock, folder};

/// Opens the store, making folder, keys and database on the first run.
pub(super) fn open(settings: &Settings) -> Result<Store, Failure> {
    let data = &settings.data;
    folder::own(data)?;
    let keys = keys(settings)?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    Store::open(place(settings), keys, entropy, clock::now()).map_err(|error| told(data, error))
}

/// Where the store is, and its newest checkpoint: beside the ledger's key, so that whoever may keep the one safe from those
/// who write to the database keeps the other safe too.
pub(crate) fn place(settings: &Settings) -> StorePlace {
    let outside = settings.checkpoint.clone().unwrap_or_else(|| {
        let mut beside = settings.ledger_key.path.clone().into_os_string();
        beside.push(".checkpoint");
        PathBuf::from(beside)
    });
    StorePlace::new(&settings.data).with_outside(outside)
}

/// Makes both keys where there is no database yet, and says where they are.
pub(super) fn make_keys(settings: &Settings, out: &mut Output) -> Result<Exit, Failure> {
    keys(settings)?;
    for (what, place) in [("key-encryption key", &settings.kek), ("ledger key", &settings.ledger_key)] {
        out.say(format_args!("the {what} is in `{}`", place.path.display()));
    }
    out.say(
        "back them up apart from the database: without them it cannot be read, and nothing makes them anew",
    );
    Ok(Exit::DONE)
}

/// Both keys. SECURITY: once there is a database its keys are never made anew: a lost key must be noticed, not papered
/// over with one that opens nothing.
fn keys(settings: &Settings) -> Result<StoreKeys, Failure> {
    read_keys(settings, is_new(&settings.data))
}

/// Both keys, which must be there.
pub(crate) fn existing_keys(settings: &Settings) -> Result<StoreKeys, Failure> {
    read_keys(settings, false)
}

fn read_keys(settings: &Settings, may_make: bool) -> Result<StoreKeys, Failure> {
    if may_make && (settings.kek.in_data || settings.ledger_key.in_data) {
        let folder = settings.data.join(KEYS_FOLDER);
        keyfile::make_folder(&folder).map_err(|error| folder::unwritable(&settings.data, error))?;
    }
    // The one that it takes the place of must be there; then it may be made beside a database.
    let previous = match &settings.previous_kek {
        Some(file) => {
            Some(KeyEncryptionKey::from_bytes(&*keyfile::encryption_key(file, false, &SystemEntropy)?))
        }
        None => None,
    };
    let kek = keyfile::encryption_key(&settings.kek.path, may_make || previous.is_some(), &SystemEntropy)?;
    let ledger =
        keyfile::ledger_key(&settings.ledger_key.path, may_make, &ledger_name(settings), &SystemEntropy)?;
    Ok(StoreKeys { kek: KeyEncryptionKey::from_bytes(&kek), previous, ledger })
}

/// The ledger's name (C2SP tlog-checkpoint: the origin), which no other ledger has.
fn ledger_name(settings: &Settings) -> String {
    let mut random = [0u8; 4];
    SystemEntropy.fill(&mut random);
    let host = settings.base_url.as_ref().map_or("localhost", |base| base.host());
    format!("{host}/hallpass/{:08x}", u32::from_be_bytes(random))
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Failure::could_not_run(&error).hint(error.hint())
    }
}

/// Why the store could not be opened, and what to do.
pub(crate) fn told(data: &Path, error: OpenError) -> Failure {
    let shown = data.display();
    match &error {
        OpenError::InUse(_) => Failure::try_later(error).hint("stop it first, or name another folder with `--data`"),
        OpenError::ReadOnly(_) => {
            Failure::could_not_run(error).hint("make it writable for the server's own user, or name another with `--data`")
        }
        OpenError::Full => Failure::try_later(error).hint("make room, then start again; nothing is lost"),
        OpenError::WrongKey(_) => Failure::could_not_run(error)
            .hint("name the file of the key it was made with: `--kek` and `--ledger-key`, or put it back from its backup"),
        OpenError::Newer { .. } => Failure::could_not_run(error).hint("install the newer version; schemas only go forward"),
        OpenError::Damaged(_) => Failure::could_not_run(error)
            .hint(format_args!("keep `{shown}` as it is, and `hallpass admin restore` a backup into a new folder")),
        OpenError::Gone { .. } => Failure::could_not_run(error).hint(format_args!(
            "a restore may have been interrupted: put the newest `replaced-*.db` back in place as `{DATABASE}`, or `hallpass admin restore` a backup"
        )),
        OpenError::Ledger(Doubt::Shorter { found: 0, .. }) => Failure::could_not_run(error).hint(
            "`hallpass admin restore` a backup; a new ledger wants a new key: name a file that is not there with `--ledger-key`",
        ),
        OpenError::Ledger(_) => Failure::could_not_run(error).hint(format_args!(
            "keep `{shown}` as it is and find out who changed it, then `hallpass admin restore` a backup; where you accept the ledger as it is, `hallpass admin restore {shown}/{DATABASE} --accept-ledger`, which the ledger will say"
        )),
        OpenError::Symlink(_) => Failure::could_not_run(error).hint("put the file itself in its place"),
        _ => Failure::could_not_run(error),
    }
}
