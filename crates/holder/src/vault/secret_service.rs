//! The Secret Service of a desktop session (freedesktop.org Secret Service API, 0.2): GNOME Keyring, KWallet, KeePassXC.
//!
//! Six calls, so the client is written here instead of bringing a D-Bus library and sixty crates with it into every
//! program that embeds the holder. The secret crosses the bus in the clear ("plain"), over a socket that only this user
//! can connect to; whoever could listen there could ask for the secret as well.
//!
//! Each operation ends within [`PATIENCE`]. Nobody is shown a dialog: what is locked is said to be locked.

mod bus; // the socket, and a call and its answer
mod wire; // how messages are written

use zeroize::Zeroizing;

use super::bounded::PATIENCE;
use super::{Fault, Keeper, RecordKey};
use bus::{Bus, NoReply};
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
}

impl SecretService {
    pub(super) fn new(addresses: Option<String>) -> Self {
        Self { addresses: addresses.unwrap_or_default() }
    }

    fn connect(&self) -> Result<Connected, String> {
        Ok(Connected { bus: Bus::connect(&self.addresses, PATIENCE)? })
    }
}

impl SecretService {
    /// How many items have these attributes, open or locked, whoever's they are. None is opened, and nothing unlocked.
    pub(super) fn count(&self, attributes: &[(&str, &str)]) -> Result<usize, String> {
        let mut service = self.connect()?;
        let mut body = Writer::default();
        body.texts(attributes);
        let mut answer = service.call(SERVICE_PATH, SERVICE_INTERFACE, "SearchItems", "a{ss}", body)?;
        let (open, locked) = (answer.paths().ok_or(ODD)?, answer.paths().ok_or(ODD)?);
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
        let session = service.session()?;
        let collection = service.default_collection()?;
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
        body.text(&session);
        body.blob(&[]);
        body.blob(&key[..]);
        body.text(CONTENT_TYPE);
        body.bool(true);
        let mut answer =
            service.call(&collection, COLLECTION_INTERFACE, "CreateItem", "a{sv}(oayays)b", body)?;
        let (item, prompt) = (answer.text().ok_or(ODD)?, answer.text().ok_or(ODD)?);
        match prompt == NOTHING && item != NOTHING {
            true => Ok(()),
            false => Err(service.locked(&prompt)),
        }
    }

    fn get(&self, name: &str) -> Result<Option<RecordKey>, String> {
        let mut service = self.connect()?;
        let Some(item) = service.unlocked(&[APPLICATION, (NAME, name)])?.into_iter().next() else {
            return Ok(None);
        };
        let session = service.session()?;
        let mut body = Writer::default();
        body.text(&session);
        let mut answer = service.call(&item, ITEM_INTERFACE, "GetSecret", "o", body)?;
        answer.structure();
        let secret: Option<Zeroizing<Vec<u8>>> = (|| {
            answer.text()?;
            answer.blob()?;
            answer.blob()
        })();
        let secret = secret.ok_or(ODD)?;
        Ok(secret.as_slice().try_into().map(RecordKey::new).ok())
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

impl Connected {
    fn call(
        &mut self,
        path: &str,
        interface: &str,
        member: &str,
        signature: &str,
        body: Writer,
    ) -> Result<Reader, String> {
        let call = Call { destination: SERVICE, path, interface, member, signature, body };
        self.bus.call(call).map_err(|none| match none {
            NoReply::Failed(why) => why,
            NoReply::Error(name) => match name.rsplit('.').next().unwrap_or_default() {
                "ServiceUnknown" | "NameHasNoOwner" => NOBODY.into(),
                "IsLocked" => LOCKED.into(),
                "NoReply" | "Timeout" | "TimedOut" | "Disconnected" => "does not answer".into(),
                _ => format!("refused ({name})"),
            },
        })
    }

    /// A session in which secrets cross in the clear.
    fn session(&mut self) -> Result<String, String> {
        let mut body = Writer::default();
        body.text("plain");
        body.signature("s");
        body.text("");
        let mut answer = self.call(SERVICE_PATH, SERVICE_INTERFACE, "OpenSession", "sv", body)?;
        // The output of the negotiation, which is an empty text here, and the session.
        match answer.signature().as_deref() {
            Some("s") => _ = answer.text().ok_or(ODD)?,
            Some("ay") => _ = answer.blob().ok_or(ODD)?,
            _ => return Err(ODD.into()),
        }
        answer.text().ok_or_else(|| ODD.into())
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
        let mut body = Writer::default();
        body.texts(attributes);
        let mut answer = self.call(SERVICE_PATH, SERVICE_INTERFACE, "SearchItems", "a{ss}", body)?;
        let (mut open, locked) = (answer.paths().ok_or(ODD)?, answer.paths().ok_or(ODD)?);
        if !locked.is_empty() {
            // Some unlock without asking.
            let mut body = Writer::default();
            body.array(4, |paths| locked.iter().for_each(|path| paths.text(path)));
            let mut answer = self.call(SERVICE_PATH, SERVICE_INTERFACE, "Unlock", "ao", body)?;
            let (unlocked, prompt) = (answer.paths().ok_or(ODD)?, answer.text().ok_or(ODD)?);
            if prompt != NOTHING {
                return Err(self.locked(&prompt));
            }
            open.extend(unlocked);
        }
        Ok(open)
    }

    /// What to say of a thing that wants to ask the person first. Its dialog is taken back, not shown.
    fn locked(&mut self, prompt: &str) -> String {
        if prompt != NOTHING {
            let _ = self.call(prompt, "org.freedesktop.Secret.Prompt", "Dismiss", "", Writer::default());
        }
        LOCKED.into()
    }
}
