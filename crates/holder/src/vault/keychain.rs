//! The macOS Keychain: a generic password of the login keychain for each key.
//!
//! Untested: written for the interface of Security.framework, and compiled for macOS alone, where the rest of this crate does
//! not build yet. A keychain that is locked and
//! may not ask (over SSH, -25308) is an error after [`PATIENCE`], not a wait.

use security_framework::item::{ItemClass, ItemSearchOptions, Limit};
use security_framework::passwords::{
    PasswordOptions, delete_generic_password, generic_password, set_generic_password,
};
use zeroize::Zeroizing;

use super::bounded::bounded;
use super::{Fault, Keeper, RecordKey};

/// `errSecItemNotFound`.
const NOT_FOUND: i32 = -25300;
/// `errSecInteractionNotAllowed`: it is locked, and nobody is there to unlock it.
const MAY_NOT_ASK: i32 = -25308;

/// The login keychain.
pub(super) struct Keychain;

impl Keeper for Keychain {
    fn save(&self, name: &str, key: &RecordKey) -> Result<(), Fault> {
        let (service, account, key) = (owner(name), name.to_owned(), key.clone());
        bounded(move || set_generic_password(&service, &account, &key[..]).map_err(words))
    }

    fn find(&self, name: &str) -> Result<Option<RecordKey>, Fault> {
        let (service, account) = (owner(name), name.to_owned());
        let wanted = move || generic_password(PasswordOptions::new_generic_password(&service, &account));
        bounded(move || match wanted().map(Zeroizing::new) {
            Ok(found) => Ok(found.as_slice().try_into().map(RecordKey::new).ok()),
            Err(error) if error.code() == NOT_FOUND => Ok(None),
            Err(error) => Err(words(error)),
        })
    }

    fn wipe(&self, name: &str) -> Result<bool, Fault> {
        let (service, account) = (owner(name), name.to_owned());
        bounded(move || match delete_generic_password(&service, &account) {
            Ok(()) => Ok(true),
            Err(error) if error.code() == NOT_FOUND => Ok(false),
            Err(error) => Err(words(error)),
        })
    }

    fn wipe_all(&self, beginning: &str, but: Option<&str>) -> Result<bool, Fault> {
        let service = owner(beginning);
        let accounts = bounded(move || {
            let mut search = ItemSearchOptions::new();
            search.class(ItemClass::generic_password()).service(&service).limit(Limit::All);
            match search.load_attributes(true).search() {
                Ok(found) => Ok(found
                    .iter()
                    .filter_map(|item| item.simplify_dict()?.remove("acct"))
                    .collect::<Vec<String>>()),
                Err(error) if error.code() == NOT_FOUND => Ok(Vec::new()),
                Err(error) => Err(words(error)),
            }
        })?;
        let mut any = false;
        for account in accounts.iter().filter(|account| but != Some(account)) {
            any |= self.wipe(account)?;
        }
        Ok(any)
    }
}

/// Whose keys these are: the name without the login at its end.
fn owner(name: &str) -> String {
    name.rsplit_once(':').map_or(name, |(owner, _)| owner).to_owned()
}

fn words(error: security_framework::base::Error) -> Fault {
    Fault::Failing(match error.code() {
        MAY_NOT_ASK => "is locked, and nobody may be asked to unlock it".into(),
        _ => format!("failed ({error})"),
    })
}
