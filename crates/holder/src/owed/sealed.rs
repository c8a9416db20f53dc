//! The file of what is owed (`sealing`): in the clear for whom, since when, how often tried and where the key is; encrypted, the
//! tokens. The body is empty once it was given up.

use std::path::{Path, PathBuf};

use hallpass_model::jose::base64url;
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::metadata::IssuerMetadata;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Debt, Owed, OwedToken};
use crate::error::HolderError;
use crate::identity::{Identity, ProfileName};
use crate::private;
use crate::sealing::{self, Parts};
use crate::vault::{KeyPlace, RecordKey};

const MAGIC: &[u8] = b"HALLPASS-OWED 1\n";
pub(super) const EXTENSION: &str = "owed";
/// Held by the one process that tries again.
pub(super) const LOCK: &str = ".retrying";
/// Room for a few large tokens, taken at once: growing would leave copies behind.
const BODY_LEN_USUAL: usize = 64 * 1024;

/// What stands in the clear, authenticated with the body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) profile: Option<ProfileName>,
    pub(super) key: KeyPlace,
    pub(super) what: Vec<String>,
    pub(super) since: Timestamp,
    pub(super) until: Option<Timestamp>,
    pub(super) tried: u32,
    /// When it is time to try again.
    pub(super) next: Timestamp,
    pub(super) why: String,
    pub(super) state: State,
}

/// Whether it is still tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Waiting,
    GivenUp,
}

/// A file, and its key once that was found.
pub(crate) struct OwedFile {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) key: Option<RecordKey>,
}

impl OwedFile {
    /// A name nobody has yet.
    pub(super) fn new_name() -> String {
        let mut id = [0u8; 12];
        SystemEntropy.fill(&mut id);
        format!("owed-{}", base64url::render(id))
    }

    /// All that stand in a folder, oldest first. One that cannot be read is passed over: it was made by another version,
    /// or is none.
    pub(super) fn list(folder: &Path) -> Result<Vec<Self>, HolderError> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(HolderError::disk("cannot read", folder)(source)),
        };
        let mut files: Vec<Self> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION))
            .filter_map(|path| {
                let bytes = private::read(&path).ok()??;
                let header = parts(&bytes)?.header;
                Some(Self { path, header, key: None })
            })
            .collect();
        files.sort_by(|a, b| (a.header.since, &a.path).cmp(&(b.header.since, &b.path)));
        Ok(files)
    }

    /// As people see it.
    pub(super) fn shown(&self) -> Owed {
        let header = &self.header;
        Owed {
            identity: Identity {
                issuer: header.issuer.clone(),
                client_id: header.client_id.clone(),
                profile: header.profile.clone(),
            },
            what: header.what.clone(),
            since: header.since,
            until: header.until,
            tried: header.tried,
            why: header.why.clone(),
            given_up: header.state == State::GivenUp,
            file: self.path.clone(),
        }
    }

    /// Writes it, whole or not at all. Without a debt its secrets are gone.
    pub(super) fn write(&self, debt: Option<&Debt>) -> Result<(), HolderError> {
        let mut body = debt.map(render);
        let sealed = self.key.as_ref().zip(body.as_mut());
        private::write(&self.path, &sealing::seal(MAGIC, &self.header, sealed))
    }

    /// Opens it as it stands on disk now.
    pub(super) fn open(&self, key: &RecordKey) -> Result<Debt, HolderError> {
        let damaged = |why| HolderError::Damaged { path: self.path.clone(), why };
        let bytes = private::read(&self.path)?.ok_or_else(|| damaged("it is gone"))?;
        let parts = parts(&bytes).ok_or_else(|| damaged("it was cut short"))?;
        let body = parts.open(key).ok_or_else(|| {
            damaged("it does not open with its key; it was changed, or copied from elsewhere")
        })?;
        parse(&body).ok_or_else(|| damaged("its contents cannot be read"))
    }
}

fn parts(bytes: &[u8]) -> Option<Parts<'_, Header>> {
    sealing::parts(MAGIC, sealing::HEADER_LEN_MAX, bytes).ok()
}

/// The body with its secrets shown. SECURITY: to be encrypted in place.
#[derive(Serialize, Deserialize)]
struct Shown {
    metadata: IssuerMetadata,
    client_id: String,
    client_secret: Option<Zeroizing<String>>,
    tokens: Vec<ShownToken>,
}

#[derive(Serialize, Deserialize)]
struct ShownToken {
    what: String,
    hint: String,
    token: Zeroizing<String>,
    until: Option<Timestamp>,
}

fn render(debt: &Debt) -> Zeroizing<Vec<u8>> {
    let token = |token: &OwedToken| ShownToken {
        what: token.what.clone(),
        hint: token.hint.clone(),
        token: token.token.expose_text().to_owned().into(),
        until: token.until,
    };
    let shown = Shown {
        metadata: debt.metadata.clone(),
        client_id: debt.client_id.clone(),
        client_secret: debt.client_secret.as_ref().map(|secret| secret.expose_text().to_owned().into()),
        tokens: debt.tokens.iter().map(token).collect(),
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(BODY_LEN_USUAL));
    serde_json::to_writer(&mut *bytes, &shown).expect("a debt is a struct of JSON values");
    bytes
}

fn parse(bytes: &[u8]) -> Option<Debt> {
    let shown: Shown = serde_json::from_slice(bytes).ok()?;
    let tokens = shown.tokens.into_iter().map(|token| OwedToken {
        what: token.what,
        hint: token.hint,
        token: sealing::secret(token.token),
        until: token.until,
    });
    Some(Debt {
        metadata: shown.metadata,
        client_id: shown.client_id,
        client_secret: shown.client_secret.map(sealing::secret),
        tokens: tokens.collect(),
    })
}
