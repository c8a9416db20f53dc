//! The few commands that sealing takes (TCG "TPM 2.0 Library", part 3).

use std::path::Path;
use std::time::Instant;

use zeroize::Zeroizing;

use super::super::bounded::PATIENCE;
use super::super::{Fault, RecordKey};
use super::codes::{self, HANDLE, is_busy, told};
use super::device::{Device, HEADER_LEN, ODD, pause};
use super::session::{GOES_ON, HIDES_ANSWER, HIDES_COMMAND, Salt, Session, hash, nonce};
use super::wire::{Reader, Writer};

/// Commands (part 2, section 6.5.2); each is a section of part 3.
const CREATE_PRIMARY: u32 = 0x131;
const CREATE: u32 = 0x153;
const LOAD: u32 = 0x157;
const UNSEAL: u32 = 0x15E;
const FLUSH_CONTEXT: u32 = 0x165;
const READ_PUBLIC: u32 = 0x173;
const START_AUTH_SESSION: u32 = 0x176;

/// Tags of commands without and with an authorization (part 2, section 6.9).
const PLAIN: u16 = 0x8001;
const AUTHORIZED: u16 = 0x8002;

/// The hierarchies (part 2, section 7.4): of the machine's owner, whose seed a clear makes anew, and of its maker.
const OWNER: u32 = 0x4000_0001;
const MAKER: u32 = 0x4000_000B;
const NOBODY: u32 = 0x4000_0007;
/// Stands for a session that is a password.
const BY_PASSWORD: u32 = 0x4000_0009;
/// Where a storage key is kept for all to use, if it is (TCG "TPM v2.0 Provisioning Guidance", section 7.8).
const KEPT_STORAGE_KEY: u32 = 0x8100_0001;

/// The storage key for P-256 (TCG "TPM v2.0 Provisioning Guidance", section 7.5.1), up to its point: restricted to
/// decrypting, without a password, and so out of reach of the lock against guessing. The same seed gives the same key.
const STORAGE_KEY: [u8; 22] = [
    0x00, 0x23, // an elliptic curve's,
    0x00, 0x0B, // named by SHA-256
    0x00, 0x03, 0x04,
    0x72, // fixed to this TPM and parent, made in it, no password, not locked, restricted, decrypts
    0x00, 0x00, // no policy
    0x00, 0x06, 0x00, 0x80, 0x00, 0x43, // AES, 128 bits, CFB
    0x00, 0x10, // no scheme
    0x00, 0x03, // P-256
    0x00, 0x10, // no derivation
];
/// Bytes that are sealed (part 1, section 27): of this TPM and storage key alone, no password, not locked.
const SEALED: [u8; 14] = [
    0x00, 0x08, // a keyed hash's,
    0x00, 0x0B, // named by SHA-256
    0x00, 0x00, 0x04, 0x52, // fixed to this TPM and parent, no password, not locked
    0x00, 0x00, // no policy
    0x00, 0x10, // no scheme: it is not a key
    0x00, 0x00, // its name's part is the TPM's to fill in
];

/// What an object is called: a hash of all that is public about it (part 1, section 16).
pub(super) type Name = [u8; 34];

/// A TPM, for one operation. What was loaded into it leaves it at the end.
pub(super) struct Chip {
    device: Device,
    loaded: Vec<u32>,
}

/// Why a command did not do it.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It did not get there, or no answer came.
    Fault(Fault),
    /// The TPM said no, by this code.
    Code(u32),
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Fault(fault) => fault,
            Trouble::Code(code) => Fault::Failing(told(code)),
        }
    }
}

/// A key that others are kept under.
pub(super) struct StorageKey {
    handle: u32,
    pub(super) name: Name,
    point: [u8; 64],
}

/// Bytes that this TPM alone opens. Nothing of it is secret.
pub(super) struct Blob {
    pub(super) public: Vec<u8>,
    pub(super) private: Vec<u8>,
}

impl Chip {
    pub(super) fn open(place: &Path) -> Result<Self, Fault> {
        Ok(Self { device: Device::open(place)?, loaded: Vec::new() })
    }

    /// The storage key: the one that is kept, which is quick, or one made now, which is the same. `None` if it is not the
    /// one that is named.
    pub(super) fn storage_key(&mut self, named: Option<&Name>) -> Result<Option<StorageKey>, Trouble> {
        let fits = |key: &StorageKey| named.is_none_or(|named| key.name == *named);
        // Whatever else is kept there is of no use.
        if let Some(key) = self.kept_storage_key()?.filter(fits) {
            return Ok(Some(key));
        }
        self.create_primary(OWNER).map(|key| Some(key).filter(fits))
    }

    /// What this TPM is called, also after it was cleared: the name of a key of its maker's seed. It is no endorsement key,
    /// and says nothing to others. `None` if that takes a password.
    pub(super) fn own_name(&mut self) -> Result<Option<Name>, Trouble> {
        match self.create_primary(MAKER) {
            Ok(key) => {
                let name = key.name;
                self.flush(key.handle);
                Ok(Some(name))
            }
            Err(Trouble::Code(_)) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Seals a key (`TPM2_Create`, section 12.1).
    pub(super) fn seal(&mut self, under: &StorageKey, key: &RecordKey) -> Result<Blob, Trouble> {
        let mut session = self.begin(under)?;
        let secret = Zeroizing::new(Writer::default().sized(&[]).sized(&key[..]).end());
        let parameters = Writer::default().sized(&secret).sized(&SEALED).sized(&[]).word(0).end();
        let mut parameters = Zeroizing::new(parameters);
        let answer = self.authorized(
            &mut session,
            CREATE,
            (under.handle, &under.name),
            &mut parameters,
            HIDES_COMMAND,
        )?;
        let mut answer = Reader(&answer);
        let private = answer.sized().ok_or_else(odd)?.to_vec();
        Ok(Blob { public: answer.sized().ok_or_else(odd)?.to_vec(), private })
    }

    /// Opens what was sealed (`TPM2_Load`, section 12.2; `TPM2_Unseal`, section 12.7).
    pub(super) fn unseal(&mut self, under: &StorageKey, blob: &Blob) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let mut session = self.begin(under)?;
        let mut parameters = Writer::default().sized(&blob.private).sized(&blob.public).end();
        let parent = (under.handle, &under.name);
        let loaded = self.authorized(&mut session, LOAD, parent, &mut parameters, 0)?;
        let handle = Reader(&loaded).word().ok_or_else(odd)?;
        let name = name_of(&blob.public);
        let answer = self.authorized(&mut session, UNSEAL, (handle, &name), &mut Vec::new(), HIDES_ANSWER)?;
        Ok(Zeroizing::new(Reader(&answer).sized().ok_or_else(odd)?.to_vec()))
    }

    /// `TPM2_ReadPublic`, section 12.4, of the place for a storage key.
    fn kept_storage_key(&mut self) -> Result<Option<StorageKey>, Trouble> {
        let parameters = Writer::default().word(KEPT_STORAGE_KEY).end();
        match self.run(PLAIN, READ_PUBLIC, &parameters) {
            Ok(answer) => {
                let public = Reader(&answer).sized().ok_or_else(odd)?;
                Ok(StorageKey::parse(KEPT_STORAGE_KEY, public))
            }
            Err(Trouble::Code(code)) if codes::kind(code) == HANDLE => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// `TPM2_CreatePrimary`, section 24.1.
    fn create_primary(&mut self, hierarchy: u32) -> Result<StorageKey, Trouble> {
        let public = Writer::default().raw(&STORAGE_KEY).sized(&[0; 32]).sized(&[0; 32]).end();
        let password = Writer::default().word(BY_PASSWORD).sized(&[]).byte(0).sized(&[]).end();
        let parameters = Writer::default()
            .word(hierarchy)
            .word(password.len() as u32)
            .raw(&password)
            .sized(&Writer::default().sized(&[]).sized(&[]).end()) // neither a password nor bytes of ours
            .sized(&public)
            .sized(&[])
            .word(0)
            .end();
        let answer = self.run(AUTHORIZED, CREATE_PRIMARY, &parameters)?;
        let mut answer = Reader(&answer);
        let handle = answer.word().ok_or_else(odd)?;
        self.loaded.push(handle);
        let public = answer.word().and_then(|_| answer.sized()).ok_or_else(odd)?;
        StorageKey::parse(handle, public).ok_or_else(odd)
    }

    /// `TPM2_StartAuthSession`, section 11.1.
    fn begin(&mut self, with: &StorageKey) -> Result<Session, Trouble> {
        let salt = Salt::agree(&with.point).ok_or_else(odd)?;
        let ours = nonce();
        let (x, y) = salt.point.split_at(32);
        let parameters = Writer::default()
            .word(with.handle)
            .word(NOBODY) // bound to nothing
            .sized(&ours)
            .sized(&Writer::default().sized(x).sized(y).end())
            .byte(0) // by HMAC
            .raw(&[0x00, 0x06, 0x00, 0x80, 0x00, 0x43]) // AES, 128 bits, CFB
            .short(0x000B) // SHA-256
            .end();
        let answer = self.run(PLAIN, START_AUTH_SESSION, &parameters)?;
        let mut answer = Reader(&answer);
        let handle = answer.word().ok_or_else(odd)?;
        self.loaded.push(handle);
        let theirs = answer.sized().ok_or_else(odd)?;
        Ok(Session::begun(handle, &salt, &ours, theirs))
    }

    /// Runs a command about one object in a session, and believes the answer only if its proof is right. What an answer has
    /// of handles is in front of its parameters.
    fn authorized(
        &mut self,
        session: &mut Session,
        code: u32,
        (handle, name): (u32, &Name),
        parameters: &mut [u8],
        hiding: u8,
    ) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let (sealed, area) = session.authorize(code, name, parameters, GOES_ON | hiding);
        let whole = Writer::default().word(handle).word(area.len() as u32).raw(&area).raw(parameters).end();
        let answer = self.run(AUTHORIZED, code, &whole)?;
        let mut answer = Reader(&answer);
        let handle = match code {
            LOAD => answer.take(4).ok_or_else(odd)?,
            _ => &[],
        };
        if let Some(handle) = Reader(handle).word() {
            self.loaded.push(handle);
        }
        let len = answer.word().ok_or_else(odd)?;
        let mut parameters = Zeroizing::new(answer.take(len as usize).ok_or_else(odd)?.to_vec());
        let proof = (|| Some((answer.sized()?, answer.byte()?, answer.sized()?)))().ok_or_else(odd)?;
        session
            .believe(&sealed, code, &mut parameters, proof)
            .ok_or_else(|| Trouble::Fault(Fault::Failing("gives answers that somebody changed".into())))?;
        Ok(Zeroizing::new([handle, &parameters].concat()))
    }

    /// `TPM2_FlushContext`, section 28.4. One that fails leaves it to the kernel, which clears up at the end.
    fn flush(&mut self, handle: u32) {
        self.loaded.retain(|loaded| *loaded != handle);
        let _ = self.run(PLAIN, FLUSH_CONTEXT, &Writer::default().word(handle).end());
    }

    /// Runs a command, again while the TPM is busy with itself. What follows the header of the answer.
    fn run(&mut self, tag: u16, code: u32, rest: &[u8]) -> Result<Vec<u8>, Trouble> {
        let len = HEADER_LEN + rest.len();
        let command = Writer::default().short(tag).word(len as u32).word(code).raw(rest).end();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.device.exchange(&command).map_err(Trouble::Fault)?;
            let code = Reader(&answer[6..]).word().ok_or_else(odd)?;
            match code {
                0 => return Ok(answer[HEADER_LEN..].to_vec()),
                busy if is_busy(busy) && Instant::now() < deadline => pause(),
                code => return Err(Trouble::Code(code)),
            }
        }
    }
}

impl Drop for Chip {
    fn drop(&mut self) {
        while let Some(handle) = self.loaded.last() {
            self.flush(*handle);
        }
    }
}

impl StorageKey {
    /// A storage key as we make them, and no other.
    fn parse(handle: u32, public: &[u8]) -> Option<Self> {
        let mut rest = Reader(public.strip_prefix(&STORAGE_KEY)?);
        let mut coordinate = || rest.sized().filter(|bytes| bytes.len() <= 32);
        let (x, y) = (coordinate()?, coordinate()?);
        let mut point = [0u8; 64];
        point[32 - x.len()..32].copy_from_slice(x);
        point[64 - y.len()..].copy_from_slice(y);
        Some(Self { handle, name: name_of(public), point })
    }
}

/// What an object is called that SHA-256 names.
fn name_of(public: &[u8]) -> Name {
    let mut name = [0u8; 34];
    name[1] = 0x0B;
    name[2..].copy_from_slice(&hash(&[public]));
    name
}

fn odd() -> Trouble {
    Trouble::Fault(Fault::Failing(ODD.into()))
}

#[cfg(test)]
impl Chip {
    /// Keeps the storage key at the place for it, as whoever provisions a machine does (`TPM2_EvictControl`, section 28.5).
    pub(super) fn keep_for_tests(&mut self) {
        let key = self.create_primary(OWNER).unwrap();
        let password = Writer::default().word(BY_PASSWORD).sized(&[]).byte(0).sized(&[]).end();
        let parameters = Writer::default()
            .word(OWNER)
            .word(key.handle)
            .word(password.len() as u32)
            .raw(&password)
            .word(KEPT_STORAGE_KEY);
        self.run(AUTHORIZED, 0x120, &parameters.end()).unwrap();
    }
}
