//! A session that hides what crosses the bus between processor and TPM: salted, so that who listens cannot work its key
//! out; with a proof in each command and answer, so that who changes them is found out; and with the first parameter
//! encrypted (TCG "TPM 2.0 Library", part 1, sections 19 and 21).

use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::{digest, hmac};
use hallpass_model::random::{Entropy, SystemEntropy};
use zeroize::Zeroizing;

use super::wire::Writer;

/// What a session does with a command (part 2, section 8.4).
pub(super) const GOES_ON: u8 = 1;
/// The TPM decrypts the command's first parameter.
pub(super) const HIDES_COMMAND: u8 = 1 << 5;
/// The TPM encrypts the answer's first parameter.
pub(super) const HIDES_ANSWER: u8 = 1 << 6;

const HASH_BITS: u32 = 256;
const NONCE_LEN: usize = 32;
/// AES-128, key and first block.
const CFB_LEN: usize = 16;

/// A number that is used once.
pub(super) type Nonce = [u8; NONCE_LEN];

/// A secret that only we and the TPM that holds this key know.
pub(super) struct Salt {
    value: Zeroizing<[u8; 32]>,
    /// Our half of the agreement: a point of P-256.
    pub(super) point: [u8; 64],
}

impl Salt {
    /// Agrees on one with the holder of a P-256 key (part 1, section C.6.3). `None` if it is no such key.
    pub(super) fn agree(theirs: &[u8; 64]) -> Option<Self> {
        let own = PrivateKey::generate(&ECDH_P256).ok()?;
        let public = own.compute_public_key().ok()?;
        let point: [u8; 64] = public.as_ref().strip_prefix(&[4])?.try_into().ok()?;
        let peer = UnparsedPublicKey::new(&ECDH_P256, [&[4u8], &theirs[..]].concat());
        let value = agreement::agree(&own, peer, (), |shared| {
            let parts = [&1u32.to_be_bytes()[..], shared, b"SECRET\0", &point[..32], &theirs[..32]];
            Ok(hash(&parts))
        });
        Some(Self { value: Zeroizing::new(value.ok()?), point })
    }
}

/// A session, as far as we are concerned: of a TPM's key whose use needs no secret but this one.
pub(super) struct Session {
    pub(super) handle: u32,
    key: Zeroizing<[u8; 32]>,
    /// The TPM's newest.
    theirs: Vec<u8>,
}

/// What a command goes with: our newest nonce.
pub(super) struct Sealed {
    ours: Nonce,
    attributes: u8,
}

impl Session {
    /// A session that the TPM has begun, with our first nonce and its own.
    pub(super) fn begun(handle: u32, salt: &Salt, ours: &Nonce, theirs: &[u8]) -> Self {
        let key = derive::<32>(&salt.value[..], b"ATH", theirs, ours);
        Self { handle, key, theirs: theirs.to_vec() }
    }

    /// Encrypts the first parameter if that is wanted, and writes the authorization down that the command goes with
    /// (part 1, section 18.7). `names` is those of the objects it is about.
    pub(super) fn authorize(
        &self,
        code: u32,
        names: &[u8],
        parameters: &mut [u8],
        attributes: u8,
    ) -> (Sealed, Vec<u8>) {
        let ours = nonce();
        if attributes & HIDES_COMMAND != 0 {
            let (key, iv) = self.cfb(&ours, &self.theirs);
            let cipher = EncryptingKey::cfb128(key).expect("AES-128 has this mode");
            let hidden = first_parameter(parameters).expect("we wrote one");
            cipher
                .less_safe_encrypt(hidden, EncryptionContext::Iv128(iv.into()))
                .expect("this mode takes any length");
        }
        let command = hash(&[&code.to_be_bytes(), names, parameters]);
        let proof = self.prove(&command, &ours, &self.theirs, attributes);
        let area = Writer::default().word(self.handle).sized(&ours).byte(attributes).sized(&proof).end();
        (Sealed { ours, attributes }, area)
    }

    /// Believes an answer, or not, and decrypts its first parameter. Part 1, section 18.8.
    pub(super) fn believe(
        &mut self,
        sealed: &Sealed,
        code: u32,
        parameters: &mut [u8],
        (theirs, attributes, proof): (&[u8], u8, &[u8]),
    ) -> Option<()> {
        // The code of an answer that has a proof at all is that of success: zero.
        let answer = hash(&[&0u32.to_be_bytes(), &code.to_be_bytes(), parameters]);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key[..]);
        let signed = [&answer[..], theirs, &sealed.ours, &[attributes]].concat();
        hmac::verify(&key, &signed, proof).ok()?;
        self.theirs = theirs.to_vec();
        if sealed.attributes & HIDES_ANSWER != 0 {
            let (key, iv) = self.cfb(&self.theirs, &sealed.ours);
            let cipher = DecryptingKey::cfb128(key).expect("AES-128 has this mode");
            let hidden = first_parameter(parameters)?;
            cipher.decrypt(hidden, DecryptionContext::Iv128(iv.into())).ok()?;
        }
        Some(())
    }

    fn prove(&self, what: &[u8], newer: &[u8], older: &[u8], attributes: u8) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key[..]);
        let tag = hmac::sign(&key, &[what, newer, older, &[attributes]].concat());
        tag.as_ref().try_into().expect("HMAC-SHA-256 is of 32 bytes")
    }

    /// Key and first block for one parameter (part 1, section 21.3).
    fn cfb(&self, newer: &[u8], older: &[u8]) -> (UnboundCipherKey, [u8; CFB_LEN]) {
        let both = derive::<32>(&self.key[..], b"CFB", newer, older);
        let (key, iv) = both.split_at(CFB_LEN);
        let key = UnboundCipherKey::new(&AES_128, key).expect("the key is of 16 bytes");
        (key, iv.try_into().expect("half of 32 bytes"))
    }
}

/// KDFa (part 1, section 11.4.10.2), for as much as one round gives.
fn derive<const N: usize>(secret: &[u8], label: &[u8], newer: &[u8], older: &[u8]) -> Zeroizing<[u8; N]> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    for part in [&1u32.to_be_bytes()[..], label, &[0], newer, older, &HASH_BITS.to_be_bytes()] {
        context.update(part);
    }
    let mut derived = Zeroizing::new([0u8; N]);
    derived.copy_from_slice(&context.sign().as_ref()[..N]);
    derived
}

/// SHA-256 of all of this.
pub(super) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().expect("SHA-256 is of 32 bytes")
}

/// A new number.
pub(super) fn nonce() -> Nonce {
    let mut nonce = Nonce::default();
    SystemEntropy.fill(&mut nonce);
    nonce
}

/// What of the parameters is encrypted: the first one's bytes, without their length.
fn first_parameter(parameters: &mut [u8]) -> Option<&mut [u8]> {
    let (len, rest) = parameters.split_first_chunk_mut::<2>()?;
    let len = u16::from_be_bytes(*len);
    rest.get_mut(..len.into())
}
