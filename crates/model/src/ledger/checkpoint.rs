//! Signed checkpoints: how large the ledger was and what its root was, in a form others can hold and witness.
//!
//! C2SP tlog-checkpoint in a C2SP signed-note, signed with Ed25519:
//!
//! ```text
//! example.com/ledger
//! 42
//! base64 of the root
//!
//! — example.com/ledger base64 of (key id ‖ signature)
//! ```
//!
//! The key's name is the log's origin. The key id is SHA-256(name ‖ "\n" ‖ 0x01 ‖ public key), cut to 4 bytes.
//! Signature lines by other keys (witnesses' cosignatures) are carried along and not judged.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::merkle::{Frontier, Hash, MAX_SIZE};
use crate::random::Entropy;
use crate::secret::{KeyMaterial, Secret};

/// What a ledger was at one moment: so many entries, with this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger: the name of the key that signs it.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The checkpoint of the ledger that `key` signs, at this edge.
    pub fn of(key: &LedgerKey, frontier: &Frontier) -> Self {
        Self { origin: key.name.clone(), size: frontier.size(), root: frontier.root() }
    }

    /// The signed note.
    ///
    /// # Panics
    /// If the key is another ledger's: its name is not the origin.
    pub fn sign(&self, key: &LedgerKey) -> String {
        assert_eq!(self.origin, key.name, "a ledger signs only its own checkpoints");
        let text = self.render();
        let mut signed = Vec::with_capacity(KEY_ID_LEN + SIGNATURE_LEN);
        signed.extend_from_slice(&key.verifier().id());
        signed.extend_from_slice(key.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n{DASH}{} {}\n", key.name, STANDARD.encode(signed))
    }

    /// Reads a note that must carry a valid signature by `key`, whose name must be its origin.
    ///
    /// Lines after the root, and signatures by keys we do not know, are allowed and not judged.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, BadCheckpoint> {
        let (text, signatures) = split(note)?;
        let checkpoint = read_body(text)?;
        if checkpoint.origin != key.name {
            return Err(BadCheckpoint::OtherLedger { origin: checkpoint.origin });
        }
        verify(text, &signatures, key)?;
        Ok(checkpoint)
    }

    /// Reads a note and believes it. SECURITY: proves nothing about who wrote it; only for saying what a note claims
    /// where no key is at hand, and that must be said along with it.
    pub fn read_unproven(note: &str) -> Result<Self, BadCheckpoint> {
        read_body(split(note)?.0)
    }

    fn render(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }
}

/// Why a note is not a checkpoint to rely on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCheckpoint {
    /// Not a signed note, or not a checkpoint in one.
    #[error("it is not a signed checkpoint: {0}")]
    Malformed(&'static str),
    /// Signed by others perhaps, but not by the key.
    #[error("it carries no signature by the ledger's key")]
    Unsigned,
    /// It carries a signature in the key's name that the key did not make.
    #[error("its signature was not made by the ledger's key, or it was changed since")]
    Forged,
    /// A checkpoint of another ledger.
    #[error("it belongs to another ledger, `{origin}`")]
    OtherLedger {
        /// That ledger's name.
        origin: String,
    },
}

/// The key that signs checkpoints. It must not lie beside the database: whoever has both can write another history.
pub struct LedgerKey {
    name: String,
    seed: Zeroizing<[u8; SEED_LEN]>,
    pair: Ed25519KeyPair,
}

impl LedgerKey {
    /// A new key for the ledger of this name.
    pub fn generate(name: &str, entropy: &dyn Entropy) -> Result<Self, BadKey> {
        let mut seed = Zeroizing::new([0u8; SEED_LEN]);
        entropy.fill(seed.as_mut());
        Self::from_bytes(name, &seed)
    }

    /// The key of this name and seed.
    pub fn from_bytes(name: &str, seed: &[u8; SEED_LEN]) -> Result<Self, BadKey> {
        let name = parse_name(name)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| BadKey::Malformed)?;
        Ok(Self { name, seed: Zeroizing::new(*seed), pair })
    }

    /// The seed, for the key file.
    pub fn to_bytes(&self) -> Zeroizing<[u8; SEED_LEN]> {
        self.seed.clone()
    }

    /// `PRIVATE+KEY+name+id+base64`, as golang.org/x/mod/sumdb/note writes it: name and seed in one line.
    pub fn to_text(&self) -> Secret<KeyMaterial> {
        let mut bytes = Zeroizing::new([ED25519_NOTE; 1 + SEED_LEN]);
        bytes[1..].copy_from_slice(self.seed.as_ref());
        let encoded = Zeroizing::new(STANDARD.encode(bytes.as_ref()));
        let id = u32::from_be_bytes(self.verifier().id());
        // The whole length is known beforehand, so that no shorter buffer is left behind unwiped.
        let mut text = String::with_capacity(PRIVATE.len() + self.name.len() + encoded.len() + 10);
        text.push_str(PRIVATE);
        text.push_str(&self.name);
        text.push_str(&format!("+{id:08x}+"));
        text.push_str(&encoded);
        Secret::from_text(text)
    }

    /// Reads what `to_text` wrote.
    pub fn from_text(text: &str) -> Result<Self, BadKey> {
        let rest = text.trim_end().strip_prefix(PRIVATE).ok_or(BadKey::Malformed)?;
        let (name, id, bytes) = split_key(rest)?;
        let seed = Zeroizing::new(bytes);
        let key = Self::from_bytes(name, &seed)?;
        if key.verifier().id() == id { Ok(key) } else { Err(BadKey::WrongId) }
    }

    /// The log's origin, and the name in its signature lines.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What others verify with.
    pub fn verifier(&self) -> VerifierKey {
        let public = self.pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes");
        VerifierKey { name: self.name.clone(), public }
    }
}

impl fmt::Debug for LedgerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<ledger key {}>", self.name)
    }
}

/// The public half of a [`LedgerKey`]: spelled `name+id+base64` (C2SP signed-note), safe to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// The ledger's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256(name ‖ "\n" ‖ 0x01 ‖ public key), cut to 4 bytes: which key a signature line speaks of. A hint only.
    pub fn id(&self) -> [u8; KEY_ID_LEN] {
        let mut bytes = Vec::with_capacity(self.name.len() + 34);
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.extend_from_slice(&[b'\n', ED25519_NOTE]);
        bytes.extend_from_slice(&self.public);
        *digest(&SHA256, &bytes).as_ref().first_chunk().expect("SHA-256 gives 32 bytes")
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [ED25519_NOTE; 33];
        bytes[1..].copy_from_slice(&self.public);
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), STANDARD.encode(bytes))
    }
}

impl std::str::FromStr for VerifierKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        if text.starts_with(PRIVATE) {
            return Err(BadKey::Private);
        }
        let (name, id, public) = split_key(text.trim_end())?;
        let key = Self { name: parse_name(name)?, public };
        if key.id() == id { Ok(key) } else { Err(BadKey::WrongId) }
    }
}

/// Why a text is not a ledger's key. It never repeats the text, which may be a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not of the form `name+id+base64`, or not an Ed25519 key.
    #[error("it is not an Ed25519 key of the form `name+id+base64`")]
    Malformed,
    /// A name that a signature line cannot carry.
    #[error("a ledger's name is 1 to {NAME_MAX} bytes without spaces, control characters or `+`")]
    Name,
    /// The id does not belong to the name and key: cut short or mistyped.
    #[error("its id does not fit its name and key: part of it may be missing")]
    WrongId,
    /// The private key, where the public one was asked for.
    #[error("it is the ledger's private key; the verifier key is wanted")]
    Private,
}

/// One signature line.
struct Signature<'a> {
    name: &'a str,
    id: [u8; KEY_ID_LEN],
    bytes: Vec<u8>,
}

/// A signed note's text and its signature lines.
fn split(note: &str) -> Result<(&str, Vec<Signature<'_>>), BadCheckpoint> {
    let bad = BadCheckpoint::Malformed;
    if note.len() > NOTE_MAX {
        return Err(bad("it is too long"));
    }
    if note.chars().any(|c| c.is_ascii_control() && c != '\n') {
        return Err(bad("it holds control characters"));
    }
    // The text may hold empty lines; the last one ends it.
    let end = note.rfind("\n\n").ok_or(bad("it has no signatures"))? + 1;
    let lines = note[end + 1..].strip_suffix('\n').ok_or(bad("it is cut short"))?;
    if lines.split('\n').nth(SIGNATURES_MAX).is_some() {
        return Err(bad("it has too many signatures"));
    }
    let signatures = lines.split('\n').map(read_signature).collect::<Option<_>>();
    Ok((&note[..end], signatures.ok_or(bad("a signature line is malformed"))?))
}

fn verify(text: &str, signatures: &[Signature<'_>], key: &VerifierKey) -> Result<(), BadCheckpoint> {
    let id = key.id();
    let mut ours = signatures.iter().filter(|s| s.name == key.name && s.id == id).peekable();
    ours.peek().ok_or(BadCheckpoint::Unsigned)?;
    // C2SP signed-note: one bad signature in a known key's name spoils the whole note.
    let public = UnparsedPublicKey::new(&ED25519, &key.public);
    match ours.all(|signature| public.verify(text.as_bytes(), &signature.bytes).is_ok()) {
        true => Ok(()),
        false => Err(BadCheckpoint::Forged),
    }
}

fn read_body(text: &str) -> Result<Checkpoint, BadCheckpoint> {
    parse_body(text).ok_or(BadCheckpoint::Malformed("its lines are not origin, size and root"))
}

fn parse_body(text: &str) -> Option<Checkpoint> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let origin = lines.next().filter(|origin| !origin.is_empty())?.to_owned();
    let digits = lines
        .next()
        .filter(|d| d.bytes().all(|b| b.is_ascii_digit()) && (*d == "0" || !d.starts_with('0')))?;
    let size = digits.parse().ok().filter(|size| *size <= MAX_SIZE)?;
    let root = Hash(STANDARD.decode(lines.next()?).ok()?.try_into().ok()?);
    // Extension lines may follow; an empty one may not.
    lines.all(|line| !line.is_empty()).then_some(Checkpoint { origin, size, root })
}

fn read_signature(line: &str) -> Option<Signature<'_>> {
    let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
    parse_name(name).ok()?;
    let decoded = STANDARD.decode(encoded).ok()?;
    let (id, bytes) = decoded.split_first_chunk().filter(|(_, bytes)| !bytes.is_empty())?;
    Some(Signature { name, id: *id, bytes: bytes.to_vec() })
}

fn split_key(text: &str) -> Result<(&str, [u8; KEY_ID_LEN], [u8; 32]), BadKey> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(BadKey::Malformed);
    };
    let hexadecimal = id.len() == 2 * KEY_ID_LEN && id.bytes().all(|b| b.is_ascii_hexdigit());
    let id = u32::from_str_radix(id, 16).ok().filter(|_| hexadecimal).ok_or(BadKey::Malformed)?;
    let decoded = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| BadKey::Malformed)?);
    match decoded.split_first() {
        Some((&ED25519_NOTE, key)) => {
            Ok((name, id.to_be_bytes(), key.try_into().map_err(|_| BadKey::Malformed)?))
        }
        _ => Err(BadKey::Malformed),
    }
}

fn parse_name(name: &str) -> Result<String, BadKey> {
    let fits = (1..=NAME_MAX).contains(&name.len());
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    if fits && name.chars().all(allowed) { Ok(name.to_owned()) } else { Err(BadKey::Name) }
}

/// An em dash and a space begin each signature line.
const DASH: &str = "— ";
const PRIVATE: &str = "PRIVATE+KEY+";
/// Ed25519 in a signed note's key.
const ED25519_NOTE: u8 = 0x01;
const KEY_ID_LEN: usize = 4;
const SEED_LEN: usize = 32;
const SIGNATURE_LEN: usize = 64;
/// A host name and a path fit.
const NAME_MAX: usize = 255;
/// As much as golang.org/x/mod/sumdb/note reads: room for a hundred post-quantum cosignatures of 5 kB.
const NOTE_MAX: usize = 1_000_000;
/// As many as golang.org/x/mod/sumdb/note reads; C2SP signed-note asks for 16 at least.
const SIGNATURES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::Seeded;

    // From the documentation of golang.org/x/mod/sumdb/note.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PETER_PRIVATE: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const PETER_TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const PETER_SIGNATURE: &str =
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
    const ENOCH_LINE: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

    fn key() -> LedgerKey {
        LedgerKey::generate("example.com/ledger", &Seeded::new(1)).unwrap()
    }

    fn checkpoint(key: &LedgerKey) -> Checkpoint {
        Checkpoint { origin: key.name().into(), size: 42, root: Hash([7; 32]) }
    }

    #[test]
    fn the_published_key_and_note_of_the_reference_implementation_hold() {
        let key = LedgerKey::from_text(PETER_PRIVATE).unwrap();
        assert_eq!(key.to_text().expose_text(), PETER_PRIVATE);
        assert_eq!(key.verifier().to_string(), PETER);
        assert_eq!(PETER.parse(), Ok(key.verifier()));
        let signature = [&key.verifier().id(), key.pair.sign(PETER_TEXT.as_bytes()).as_ref()].concat();
        assert_eq!(STANDARD.encode(signature), PETER_SIGNATURE);
        // Their text is no checkpoint, but its envelope is a note.
        let note = format!("{PETER_TEXT}\n— PeterNeumann {PETER_SIGNATURE}\n{ENOCH_LINE}");
        let (text, signatures) = split(&note).unwrap();
        assert_eq!((text, signatures.len()), (PETER_TEXT, 2));
        verify(text, &signatures, &PETER.parse().unwrap()).unwrap();
    }

    #[test]
    fn the_checkpoint_of_the_specification_reads() {
        let note = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
            — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
            — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
        let read = Checkpoint::read_unproven(note).unwrap();
        assert_eq!((read.origin.as_str(), read.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(
            Checkpoint::open(note, &key().verifier()),
            Err(BadCheckpoint::OtherLedger { origin: read.origin })
        );
    }

    #[test]
    fn what_the_key_signed_opens_with_its_verifier_and_no_other() {
        let key = key();
        let note = checkpoint(&key).sign(&key);
        assert_eq!(Checkpoint::open(&note, &key.verifier()), Ok(checkpoint(&key)));
        let namesake = LedgerKey::generate(key.name(), &Seeded::new(2)).unwrap();
        assert_eq!(Checkpoint::open(&note, &namesake.verifier()), Err(BadCheckpoint::Unsigned));
    }

    #[test]
    fn a_key_comes_back_from_its_file() {
        let key = key();
        assert_eq!(LedgerKey::from_bytes(key.name(), &key.to_bytes()).unwrap().verifier(), key.verifier());
        let text = key.to_text();
        assert_eq!(LedgerKey::from_text(text.expose_text()).unwrap().verifier(), key.verifier());
        assert_eq!(text.expose_text().parse::<VerifierKey>(), Err(BadKey::Private));
        assert_eq!(format!("{key:?}"), "<ledger key example.com/ledger>");
    }

    #[test]
    fn cosignatures_are_carried_and_not_judged() {
        let key = key();
        let note = checkpoint(&key).sign(&key);
        let cosigned = format!("{note}{}", ENOCH_LINE.repeat(16));
        assert_eq!(Checkpoint::open(&cosigned, &key.verifier()), Ok(checkpoint(&key)));
        // The same name or the same id, but not both, is another's key.
        let (text, _) = note.rsplit_once("\n—").unwrap();
        let renamed = note.replace("— example.com/ledger", "— example.com/other");
        assert_eq!(Checkpoint::open(&renamed, &key.verifier()), Err(BadCheckpoint::Unsigned));
        assert_eq!(
            Checkpoint::open(&format!("{text}\n{ENOCH_LINE}"), &key.verifier()),
            Err(BadCheckpoint::Unsigned)
        );
    }

    #[test]
    fn a_note_with_one_bad_signature_of_the_key_is_spoilt() {
        let key = key();
        let note = checkpoint(&key).sign(&key);
        let other = Checkpoint { size: 43, ..checkpoint(&key) }.sign(&key);
        let (_, line) = other.split_once("\n\n").unwrap();
        assert_eq!(Checkpoint::open(&format!("{note}{line}"), &key.verifier()), Err(BadCheckpoint::Forged));
        let twice = format!("{note}{}", note.split_once("\n\n").unwrap().1);
        assert_eq!(Checkpoint::open(&twice, &key.verifier()), Ok(checkpoint(&key)));
    }

    #[test]
    fn changing_any_byte_of_a_checkpoint_spoils_it() {
        let key = key();
        let note = checkpoint(&key).sign(&key);
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(bent) = String::from_utf8(bytes) else { continue };
            assert!(Checkpoint::open(&bent, &key.verifier()).is_err(), "{bent}");
        }
        for at in 0..note.len() {
            if let Some(short) = note.get(..at) {
                assert!(Checkpoint::open(short, &key.verifier()).is_err(), "{short}");
            }
        }
    }

    #[test]
    fn extension_lines_are_signed_and_passed_over() {
        let key = key();
        let text = checkpoint(&key).render() + "an extension\n";
        let sign = |text: &str| {
            let signature = [&key.verifier().id(), key.pair.sign(text.as_bytes()).as_ref()].concat();
            format!("{text}\n— {} {}\n", key.name(), STANDARD.encode(signature))
        };
        assert_eq!(Checkpoint::open(&sign(&text), &key.verifier()), Ok(checkpoint(&key)));
        // What even the key must not sign: each is well signed, and no checkpoint.
        let root = STANDARD.encode([7; 32]);
        for bad in [
            format!("{}\n042\n{root}\n", key.name()),
            format!("{}\n+42\n{root}\n", key.name()),
            format!("{}\n\n{root}\n", key.name()),
            format!("{}\n9223372036854775808\n{root}\n", key.name()),
            format!("{}\n42\n{}\n", key.name(), STANDARD.encode([7; 31])),
            format!("{}\n42\n", key.name()),
            format!("{}\n42\n{root}\n\nmore\n", key.name()),
            format!("{}\r\n42\n{root}\n", key.name()),
        ] {
            let opened = Checkpoint::open(&sign(&bad), &key.verifier());
            assert!(matches!(opened, Err(BadCheckpoint::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn a_note_is_bounded() {
        let key = key();
        let note = checkpoint(&key).sign(&key);
        let open =
            |lines: usize| Checkpoint::open(&format!("{note}{}", ENOCH_LINE.repeat(lines)), &key.verifier());
        assert!(open(SIGNATURES_MAX - 1).is_ok());
        assert_eq!(open(SIGNATURES_MAX), Err(BadCheckpoint::Malformed("it has too many signatures")));
        let long = "x".repeat(NOTE_MAX) + "\n";
        assert_eq!(
            Checkpoint::read_unproven(&(long + &note)),
            Err(BadCheckpoint::Malformed("it is too long"))
        );
    }

    #[test]
    fn a_verifier_key_that_is_cut_or_mistyped_is_refused() {
        for start in 0..PETER.len() {
            for end in start..=PETER.len() {
                if (start, end) != (0, PETER.len()) {
                    assert!(PETER[start..end].parse::<VerifierKey>().is_err(), "{}", &PETER[start..end]);
                }
            }
        }
        for at in 0..PETER.len() {
            let mut bytes = PETER.as_bytes().to_vec();
            bytes[at] += 1;
            let bent = String::from_utf8(bytes).unwrap();
            assert!(bent.parse::<VerifierKey>().is_err(), "{bent}");
        }
        // Each with an id that fits: too long, and of an unknown algorithm.
        for bad in [
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ] {
            assert_eq!(bad.parse::<VerifierKey>(), Err(BadKey::Malformed));
        }
        for name in ["", "a b", "a+b", "a\u{2003}b", "a\nb", &"x".repeat(NAME_MAX + 1)] {
            assert!(matches!(LedgerKey::generate(name, &Seeded::new(1)), Err(BadKey::Name)), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_note_panics(text in "\\PC{0,40}\n[0-9]{0,21}\n[A-Za-z0-9+/=]{0,50}\n(\n|)(— |)[a-z+ ]{0,9} [A-Za-z0-9+/=]{0,100}\n?") {
            let _ = Checkpoint::read_unproven(&text);
            let _ = text.parse::<VerifierKey>();
            let _ = LedgerKey::from_text(&text);
        }

        #[test]
        fn every_checkpoint_comes_back(size in 0..=MAX_SIZE, root: [u8; 32]) {
            let key = key();
            let checkpoint = Checkpoint { origin: key.name().into(), size, root: Hash(root) };
            prop_assert_eq!(Checkpoint::open(&checkpoint.sign(&key), &key.verifier()), Ok(checkpoint));
        }
    }
}
