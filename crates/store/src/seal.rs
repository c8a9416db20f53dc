//! The key-encryption key, the root that it encrypts, and what is derived from that.
//!
//! 1. Session keys and signing keys rest under AES-256-GCM with the root, each bound to its row.
//! 2. Random secrets rest as fingerprints under a [`Pepper`] derived from it: a copy of the database alone can
//!    neither open the first nor test a guess at the second.
//! 3. The root rests encrypted under the key-encryption key, which is not in the database. So another may take that one's place
//!    without anything else being touched. In a store of before, the root is the key-encryption key itself.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use hallpass_model::ledger::LedgerKey;
use hallpass_model::random::Entropy;
use hallpass_model::secret::{Fingerprint, KeyMaterial, Kind, Pepper, Secret};
use zeroize::Zeroizing;

use crate::error::StoreError;

/// 32 bytes that everything secret in the store is encrypted or hashed under. It is not kept in the store.
pub struct KeyEncryptionKey(Zeroizing<[u8; 32]>);

impl KeyEncryptionKey {
    /// A new one.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0u8; 32]);
        entropy.fill(&mut key[..]);
        Self(key)
    }

    /// From its bytes, as its file has them.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// Its bytes, for its file.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a store keeps to know this key again. It tells nothing of the key.
    pub(crate) fn proof(&self) -> Zeroizing<[u8; 32]> {
        self.derive(b"proof")
    }

    /// A new store's root as it is kept under this key, and what the key is known by again.
    pub(crate) fn new_root(&self, entropy: &dyn Entropy) -> (Vec<u8>, Zeroizing<[u8; 32]>) {
        let root = Self::generate(entropy);
        (seal_with(&wrapping(self), &ROOT_ROW, &root.0[..], entropy), self.proof())
    }

    fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"hallpass store v1");
        let mut key = Zeroizing::new([0u8; 32]);
        salt.extract(&self.0[..])
            .expand(&[purpose], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key[..]))
            .expect("HKDF-SHA-256 gives up to 255 times 32 bytes");
        key
    }
}

impl std::fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<key-encryption key>")
    }
}

/// Every key the store works with.
pub(crate) struct Keys {
    aead: LessSafeKey,
    pepper: Pepper,
    forms: hmac::Key,
    root: KeyEncryptionKey,
    pub(crate) ledger: LedgerKey,
}

/// What the wrapped root is bound to.
const ROOT_ROW: [&[u8]; 1] = [b"root"];

impl Keys {
    /// Under a key-encryption key that is its own root.
    pub(crate) fn new(kek: &KeyEncryptionKey, ledger: LedgerKey) -> Self {
        Self::of(KeyEncryptionKey(kek.0.clone()), ledger)
    }

    fn of(root: KeyEncryptionKey, ledger: LedgerKey) -> Self {
        let aead = UnboundKey::new(&AES_256_GCM, &root.0[..]).expect("AES-256 takes 32 bytes");
        Self {
            aead: LessSafeKey::new(aead),
            pepper: Pepper::new(&root.derive(b"pepper")),
            forms: hmac::Key::new(hmac::HMAC_SHA256, &root.derive(b"forms")[..]),
            root,
            ledger,
        }
    }

    /// The same under the root that was kept under this key-encryption key.
    pub(crate) fn unwrapped(
        kek: &KeyEncryptionKey,
        wrapped: &[u8],
        ledger: LedgerKey,
    ) -> Result<Self, StoreError> {
        let root = open_with(&wrapping(kek), &ROOT_ROW, wrapped)?;
        let root =
            root.as_slice().try_into().map_err(|_| StoreError::Damaged("the root is no key".into()))?;
        Ok(Self::of(KeyEncryptionKey(Zeroizing::new(root)), ledger))
    }

    /// The root as it is kept under another key-encryption key, and what that one is known by again.
    pub(crate) fn wrapped_under(
        &self,
        kek: &KeyEncryptionKey,
        entropy: &dyn Entropy,
    ) -> (Vec<u8>, Zeroizing<[u8; 32]>) {
        (seal_with(&wrapping(kek), &ROOT_ROW, &self.root.0[..], entropy), kek.proof())
    }

    /// What may be kept of a secret.
    pub(crate) fn fingerprint<K: Kind>(&self, secret: &Secret<K>) -> Fingerprint {
        secret.fingerprint(&self.pepper)
    }

    /// What may be kept of a text that is no secret but should not be read from a stolen copy either.
    pub(crate) fn mark<K: Kind>(&self, parts: &[&[u8]]) -> Fingerprint {
        // Each part behind its length, so that no two lists read alike.
        let mut bytes = Vec::with_capacity(64);
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        self.pepper.fingerprint::<K>(&bytes)
    }

    /// The key of a web login's form tokens: derived, so there is nothing to store.
    pub(crate) fn form_key(&self, cookie: &Fingerprint) -> Secret<KeyMaterial> {
        Secret::new(hmac::sign(&self.forms, &cookie.0).as_ref().to_vec())
    }

    /// Encrypts `plain` for one row: `row` names the table and the row, and must be given again to open it.
    pub(crate) fn seal(&self, row: &[&[u8]], plain: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        seal_with(&self.aead, row, plain, entropy)
    }

    /// Decrypts what `seal` made for this row.
    pub(crate) fn open(&self, row: &[&[u8]], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        open_with(&self.aead, row, sealed)
    }
}

/// What wraps and unwraps the root: a key of its own, derived for that alone.
fn wrapping(kek: &KeyEncryptionKey) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, &kek.derive(b"wrap")[..]).expect("AES-256 takes 32 bytes");
    LessSafeKey::new(key)
}

fn seal_with(aead: &LessSafeKey, row: &[&[u8]], plain: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
    let mut nonce = [0u8; NONCE_LEN];
    entropy.fill(&mut nonce);
    let mut sealed = Zeroizing::new(Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len()));
    sealed.extend_from_slice(plain);
    aead.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(row.concat()), &mut *sealed)
        .expect("keys are far shorter than AES-GCM's limit");
    [&nonce[..], &sealed[..]].concat()
}

fn open_with(aead: &LessSafeKey, row: &[&[u8]], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let damaged = || StoreError::Damaged("a key does not decrypt".into());
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
    let mut plain = Zeroizing::new(rest.to_vec());
    let length = aead
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(row.concat()), &mut plain[..])
        .map_err(|_| damaged())?
        .len();
    plain.truncate(length);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hallpass_model::random::Seeded;

    fn keys(byte: u8) -> Keys {
        let ledger = LedgerKey::generate("ledger", &Seeded::new(1)).unwrap();
        Keys::new(&KeyEncryptionKey::from_bytes(&[byte; 32]), ledger)
    }

    #[test]
    fn a_sealed_key_opens_for_its_own_row_under_its_own_key_alone() {
        let sealed = keys(1).seal(&[b"session", &[7; 16]], b"canary", &Seeded::new(2));
        assert!(!sealed.windows(6).any(|w| w == b"canary"));
        assert_eq!(&**keys(1).open(&[b"session", &[7; 16]], &sealed).unwrap(), b"canary");
        assert!(keys(1).open(&[b"session", &[8; 16]], &sealed).is_err());
        assert!(keys(2).open(&[b"session", &[7; 16]], &sealed).is_err());
        assert!(keys(1).open(&[b"session", &[7; 16]], &sealed[..20]).is_err());
    }

    #[test]
    fn a_mark_tells_where_one_part_ends() {
        use hallpass_model::secret::Assertion;
        assert_ne!(keys(1).mark::<Assertion>(&[b"ab", b"c"]), keys(1).mark::<Assertion>(&[b"a", b"bc"]));
    }
}
