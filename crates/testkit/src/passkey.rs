//! An authenticator without a browser: makes passkeys and signs with them (WebAuthn Level 3, sections 6.3 and 6.5), so
//! that an endpoint can be tried with what no browser would send.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// One passkey, and the person in front of it, who is verified and agrees.
#[derive(Debug)]
pub struct SoftPasskey {
    key: EcdsaKeyPair,
    /// Its id, as the relying party knows it.
    pub id: Vec<u8>,
    /// Whom it is filed under, base64url.
    pub user_handle: String,
    /// The relying party it was made for.
    pub rp_id: String,
    /// How often it was used.
    pub counter: u32,
    /// Whether the person is verified by the authenticator when it is used.
    pub verifies: bool,
}

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const HAS_CREDENTIAL: u8 = 1 << 6;

impl SoftPasskey {
    /// Makes a passkey for `options` (`PublicKeyCredentialCreationOptions` as JSON) on a page of `origin`. Returns it with
    /// what the page would post.
    pub fn create(options: &Value, origin: &str) -> (Self, Value) {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("the system has randomness");
        let id = digest(&SHA256, key.public_key().as_ref()).as_ref()[..16].to_vec();
        let text = |value: &Value| value.as_str().expect("a string in the options").to_owned();
        let passkey = Self {
            key,
            id,
            user_handle: text(&options["user"]["id"]),
            rp_id: text(&options["rp"]["id"]),
            counter: 0,
            verifies: true,
        };
        let data = passkey.authenticator_data(HAS_CREDENTIAL, &passkey.attested());
        let made = json!({
            "id": URL_SAFE_NO_PAD.encode(&passkey.id),
            "rawId": URL_SAFE_NO_PAD.encode(&passkey.id),
            "type": "public-key",
            "extensions": {},
            "response": {
                "attestationObject": URL_SAFE_NO_PAD.encode(attestation_object(&data)),
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data("webauthn.create", options, origin)),
                "transports": ["internal"],
            },
        });
        (passkey, made)
    }

    /// Signs for `options` (`PublicKeyCredentialRequestOptions` as JSON) on a page of `origin`. Returns what it would post.
    pub fn get(&mut self, options: &Value, origin: &str) -> Value {
        self.counter += 1;
        let data = self.authenticator_data(0, &[]);
        let client_data = client_data("webauthn.get", options, origin);
        let signed = [&data[..], digest(&SHA256, &client_data).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).expect("a generated key signs");
        json!({
            "id": URL_SAFE_NO_PAD.encode(&self.id),
            "rawId": URL_SAFE_NO_PAD.encode(&self.id),
            "type": "public-key",
            "extensions": {},
            "response": {
                "authenticatorData": URL_SAFE_NO_PAD.encode(&data),
                "clientDataJSON": URL_SAFE_NO_PAD.encode(&client_data),
                "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()),
                "userHandle": self.user_handle,
            },
        })
    }

    fn authenticator_data(&self, more_flags: u8, attested: &[u8]) -> Vec<u8> {
        let verified = if self.verifies { USER_VERIFIED } else { 0 };
        let mut data = digest(&SHA256, self.rp_id.as_bytes()).as_ref().to_vec();
        data.push(USER_PRESENT | verified | more_flags);
        data.extend(self.counter.to_be_bytes());
        data.extend(attested);
        data
    }

    /// Attested credential data: no model, the id, and the public key in COSE (RFC 9053, section 7.1.1).
    fn attested(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let mut data = vec![0; 16];
        data.extend((self.id.len() as u16).to_be_bytes());
        data.extend(&self.id);
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(x);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(y);
        data
    }
}

fn client_data(kind: &str, options: &Value, origin: &str) -> Vec<u8> {
    let data =
        json!({ "type": kind, "challenge": options["challenge"], "origin": origin, "crossOrigin": false });
    data.to_string().into_bytes()
}

/// CBOR: `{"fmt": "none", "attStmt": {}, "authData": data}`.
fn attestation_object(data: &[u8]) -> Vec<u8> {
    let mut object = vec![0xa3, 0x63];
    object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x59");
    object.extend((data.len() as u16).to_be_bytes());
    object.extend(data);
    object
}
