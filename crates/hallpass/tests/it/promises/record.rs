//! Opens a record of the holder by its written form alone (`hallpass_holder`'s `record` and `vault::passphrase`): the
//! only way to know the key that the holder shows to nobody.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hallpass_model::jose::base64url;
use serde_json::Value;

const MAGIC: &[u8] = b"HALLPASS-RECORD 1\n";
const NONCE_LEN: usize = 12;

/// What a record holds.
pub(crate) fn open(file: &[u8], passphrase: &str) -> Value {
    let rest = file.strip_prefix(MAGIC).expect("it is a record");
    let (len, rest) = rest.split_first_chunk::<4>().expect("it has a header");
    let (header, rest) = rest.split_at(u32::from_be_bytes(*len) as usize);
    let clear = &file[..file.len() - rest.len()];
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().expect("it has a nonce");

    let header: Value = serde_json::from_slice(header).expect("the header is JSON");
    let cost = &header["key"];
    let number = |name: &str| cost[name].as_u64().unwrap_or_else(|| panic!("no {name} in {header}")) as u32;
    let params = Params::new(number("memory_kib"), number("passes"), number("lanes"), Some(32));
    let salt = base64url::parse(cost["salt"].as_str().expect("a salt")).expect("the salt is base64url");
    let mut key = [0u8; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.expect("the holder chose them"))
        .hash_password_into(passphrase.as_bytes(), &salt, &mut key)
        .expect("there is memory for it");

    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("32 bytes"));
    let mut body = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = cipher.open_in_place(nonce, Aad::from(clear), &mut body).expect("the passphrase opens it");
    serde_json::from_slice(plain).expect("the body is JSON")
}
