//! The Secret Service of a desktop session (freedesktop.org Secret Service API, 0.2): GNOME Keyring, KWallet, KeePassXC.
//!
//! Six calls, so the client is written here instead of bringing a D-Bus library and sixty crates with it into every
//! program that embeds the holder. The secret crosses the bus encrypted where the service can, as all known ones do, over
//! a socket that only this user can connect to; whoever could listen there could ask for the secret as well.
//!
//! Each operation ends within [`PATIENCE`]. Nobody is shown a dialog: what is locked is said to be locked.

mod bus; // the socket, and a call and its answer
mod crossing; // what hides a secret on its way
mod wire; // how messages are written

use std::time::Duration;

use super::bounded::PATIENCE;
use super::{Fault, Keeper, RecordKey};
use bus::{Bus, NoReply};
use crossing::{Crossing, ENCRYPTED, Half, PLAIN};
use wire::{Call, Reader, Writer};

const SERVICE: &str = "org.freedesktop.secrets";
const SERVICE_PATH: &str = "/org/freedesktop/secrets";
const SERVICE_INTERFACE: &str = "org.freedesktop.Secret.Service";
const COLLECTION_INTERFACE: &str = "org.freedesktop.Secret.Collection";
const ITEM_INTERFACE: &str = "org.freedesktop.Secret.Item";
/// What stands for "no object", such as no prompt.
const NOTHING: &str = "/";
/// The type of our secrets; they are bytes, whatever a service makes of that.
const CONTENT_TYPE: &str = "application/octet-stream";
/// By what our items are found. Attributes are not secret.
const APPLICATION: (&str, &str) = ("application", "hallpass");
const OWNER: &str = "owner";
const NAME: &str = "name";

/// The Secret Service on the bus of these addresses.
pub(super) struct SecretService {
    addresses: String,
    /// How long one operation may take.
    patience: Duration,
}

impl SecretService {
    pub(super) fn new(addresses: Option<String>) -> Self {
        Self { addresses: addresses.unwrap_or_default(), patience: PATIENCE }
    }

    /// With another time for one operation.
    #[cfg(test)]
    pub(super) fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn connect(&self) -> Result<Connected, String> {
        Ok(Connected { bus: Bus::connect(&self.addresses, self.patience)? })
    }
}

impl SecretService {
    /// How many items have these attributes, open or locked, whoever's they are. None is opened, and nothing unlocked.
    pub(super) fn count(&self, attributes: &[(&str, &str)]) -> Result<usize, String> {
        let Found { open, locked } = self.connect()?.search(attributes)?;
        Ok(open.len() + locked.len())
    }
}

impl Keeper for SecretService {
    fn save(&self, name: &str, key: &RecordKey) -> Result<(), Fault> {
        self.put(name, key).map_err(fault)
    }

    fn find(&self, name: &str) -> Result<Option<RecordKey>, Fault> {
        self.get(name).map_err(fault)
    }

    fn wipe(&self, name: &str) -> Result<bool, Fault> {
        self.wipe_each(&[APPLICATION, (NAME, name)], None).map_err(fault)
    }

    fn wipe_all(&self, beginning: &str, but: Option<&str>) -> Result<bool, Fault> {
        self.wipe_each(&[APPLICATION, (OWNER, owner(beginning))], but).map_err(fault)
    }
}

/// Most machines are servers, and have none.
fn fault(why: String) -> Fault {
    match why.as_str() {
        bus::NO_BUS | NOBODY | NO_COLLECTION => Fault::Absent(why),
        _ => Fault::Failing(why),
    }
}

impl SecretService {
    fn put(&self, name: &str, key: &RecordKey) -> Result<(), String> {
        let mut service = self.connect()?;
        let collection = service.default_collection()?;
        service.create(&collection, name, key)
    }

    /// Finds a key: where there are several of its name, as a keyring that was restored may have them, one that is one.
    fn get(&self, name: &str) -> Result<Option<RecordKey>, String> {
        let mut service = self.connect()?;
        let Found { open, locked } = service.search(&[APPLICATION, (NAME, name)])?;
        if open.is_empty() && locked.is_empty() {
            return Ok(None);
        }
        let session = service.session()?;
        for item in open {
            if let Some(key) = service.secret(&session, &item)? {
                return Ok(Some(key));
            }
        }
        for item in service.unlock(locked)? {
            if let Some(key) = service.secret(&session, &item)? {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    fn wipe_each(&self, attributes: &[(&str, &str)], but: Option<&str>) -> Result<bool, String> {
        let mut service = self.connect()?;
        let kept = match but {
            Some(name) => service.unlocked(&[APPLICATION, (NAME, name)])?,
            None => Vec::new(),
        };
        let mut any = false;
        for item in service.unlocked(attributes)?.into_iter().filter(|item| !kept.contains(item)) {
            let mut answer = service.call(&item, ITEM_INTERFACE, "Delete", "", Writer::default())?;
            let prompt = answer.text().ok_or(ODD)?;
            if prompt != NOTHING {
                return Err(service.locked(&prompt));
            }
            any = true;
        }
        Ok(any)
    }
}

/// Whose keys these are: the name without the login at its end.
fn owner(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(owner, _)| owner)
}

const ODD: &str = "answers what no Secret Service does";
const NOBODY: &str = "is not on the session bus";
const NO_COLLECTION: &str = "has no collection to keep things in";
const LOCKED: &str = "is locked; unlock it, or log in to the desktop";

/// A connection, for one operation.
struct Connected {
    bus: Bus,
}

/// A session with the service, and what hides secrets in it, if anything.
struct Session {
    path: String,
    crossing: Option<Crossing>,
}

/// Items that were searched for.
struct Found {
    open: Vec<String>,
    locked: Vec<String>,
}

/// Why there is no answer, in words that follow the service's name.
fn words(none: NoReply) -> String {
    match none {
        NoReply::Failed(why) => why,
        NoReply::Error(name) => match name.rsplit('.').next().unwrap_or_default() {
            "ServiceUnknown" | "NameHasNoOwner" => NOBODY.into(),
            "IsLocked" => LOCKED.into(),
            "NoReply" | "Timeout" | "TimedOut" | "Disconnected" => "does not answer".into(),
            _ => format!("refused ({name})"),
        },
    }
}

impl Connected {
    fn call(
        &mut self,
        path: &str,
        interface: &str,
        member: &str,
        signature: &str,
        body: Writer,
    ) -> Result<Reader, String> {
        self.try_call(path, interface, member, signature, body).map_err(words)
    }

    fn try_call(
        &mut self,
        path: &str,
        interface: &str,
        member: &str,
        signature: &str,
        body: Writer,
    ) -> Result<Reader, NoReply> {
        self.bus.call(Call { destination: SERVICE, path, interface, member, signature, body })
    }

    /// A session in which secrets cross encrypted; in the clear where the service knows no other way.
    fn session(&mut self) -> Result<Session, String> {
        let half = Half::new();
        let mut body = Writer::default();
        body.text(ENCRYPTED);
        body.signature("ay");
        body.blob(&half.public);
        let (mut answer, half) =
            match self.try_call(SERVICE_PATH, SERVICE_INTERFACE, "OpenSession", "sv", body) {
                Ok(answer) => (answer, Some(half)),
                Err(NoReply::Error(name)) if name.ends_with(".NotSupported") => (self.plain_session()?, None),
                Err(none) => return Err(words(none)),
            };
        // The output of the negotiation, and the session.
        let theirs = match answer.signature().as_deref() {
            Some("s") => answer.text().ok_or(ODD)?.into_bytes(),
            Some("ay") => answer.blob().ok_or(ODD)?.to_vec(),
            _ => return Err(ODD.into()),
        };
        let crossing = half.map(|half| half.agree(&theirs).ok_or(ODD)).transpose()?;
        Ok(Session { path: answer.text().ok_or(ODD)?, crossing })
    }

    fn plain_session(&mut self) -> Result<Reader, String> {
        let mut body = Writer::default();
        body.text(PLAIN);
        body.signature("s");
        body.text("");
        self.call(SERVICE_PATH, SERVICE_INTERFACE, "OpenSession", "sv", body)
    }

    /// Puts a key into a collection, or replaces it there.
    fn create(&mut self, collection: &str, name: &str, key: &RecordKey) -> Result<(), String> {
        let session = self.session()?;
        let mut body = Writer::default();
        body.array(8, |properties| {
            properties.align(8);
            properties.text("org.freedesktop.Secret.Item.Label");
            properties.signature("s");
            properties.text("Hallpass: the key of a sign-in");
            properties.align(8);
            properties.text("org.freedesktop.Secret.Item.Attributes");
            properties.signature("a{ss}");
            properties.texts(&[APPLICATION, (OWNER, owner(name)), (NAME, name)]);
        });
        body.align(8);
        body.text(&session.path);
        match &session.crossing {
            Some(crossing) => {
                let (first, hidden) = crossing.hide(&key[..]);
                body.blob(&first);
                body.blob(&hidden);
            }
            None => {
                body.blob(&[]);
                body.blob(&key[..]);
            }
        }
        body.text(CONTENT_TYPE);
        body.bool(true);
        let mut answer = self.call(collection, COLLECTION_INTERFACE, "CreateItem", "a{sv}(oayays)b", body)?;
        let (item, prompt) = (answer.text().ok_or(ODD)?, answer.text().ok_or(ODD)?);
        match prompt == NOTHING && item != NOTHING {
            true => Ok(()),
            false => Err(self.locked(&prompt)),
        }
    }

    /// What is in an item. `None` if it is no key.
    fn secret(&mut self, session: &Session, item: &str) -> Result<Option<RecordKey>, String> {
        let mut body = Writer::default();
        body.text(&session.path);
        let mut answer = self.call(item, ITEM_INTERFACE, "GetSecret", "o", body)?;
        answer.structure();
        let crossed = (|| {
            answer.text()?;
            Some((answer.blob()?, answer.blob()?))
        })();
        let (first, crossed) = crossed.ok_or(ODD)?;
        let secret = match &session.crossing {
            Some(crossing) => crossing.show(&first, &crossed).ok_or(ODD)?,
            None => crossed,
        };
        Ok(secret.as_slice().try_into().map(RecordKey::new).ok())
    }

    fn default_collection(&mut self) -> Result<String, String> {
        let mut body = Writer::default();
        body.text("default");
        let mut answer = self.call(SERVICE_PATH, SERVICE_INTERFACE, "ReadAlias", "s", body)?;
        match answer.text().ok_or(ODD)? {
            collection if collection == NOTHING => Err(NO_COLLECTION.into()),
            collection => Ok(collection),
        }
    }

    /// The items with these attributes. An error if any is locked, and stays so unless somebody is asked.
    fn unlocked(&mut self, attributes: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let Found { mut open, locked } = self.search(attributes)?;
        open.extend(self.unlock(locked)?);
        Ok(open)
    }

    fn search(&mut self, attributes: &[(&str, &str)]) -> Result<Found, String> {
        let mut body = Writer::default();
        body.texts(attributes);
        let mut answer = self.call(SERVICE_PATH, SERVICE_INTERFACE, "SearchItems", "a{ss}", body)?;
        Ok(Found { open: answer.paths().ok_or(ODD)?, locked: answer.paths().ok_or(ODD)? })
    }

    /// Unlocks items; some services do so without asking. An error if anybody would have to be asked.
    fn unlock(&mut self, locked: Vec<String>) -> Result<Vec<String>, String> {
        if locked.is_empty() {
            return Ok(locked);
        }
        let mut body = Writer::default();
        body.array(4, |paths| locked.iter().for_each(|path| paths.text(path)));
        let mut answer = self.call(SERVICE_PATH, SERVICE_INTERFACE, "Unlock", "ao", body)?;
        let (unlocked, prompt) = (answer.paths().ok_or(ODD)?, answer.text().ok_or(ODD)?);
        match prompt == NOTHING {
            true => Ok(unlocked),
            false => Err(self.locked(&prompt)),
        }
    }

    /// What to say of a thing that wants to ask the person first. Its dialog is taken back, not shown.
    fn locked(&mut self, prompt: &str) -> String {
        if prompt != NOTHING {
            let _ = self.call(prompt, "org.freedesktop.Secret.Prompt", "Dismiss", "", Writer::default());
        }
        LOCKED.into()
    }
}

#[cfg(test)]
mod tests;
