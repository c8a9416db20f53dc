//! Finds a secret in anything, however it is written.
//!
//! What is looked for is the last part of each secret, which holds its entropy: so that a secret that was cut short at
//! its end alone gets by, and one inside a longer encoded text does not.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hallpass_testkit::client::encode;

/// So much of a secret's end is looked for, in bytes: 96 bits and more, whatever the alphabet.
const END_LEN: usize = 24;
/// A secret is at least this long. Anything shorter would be found by chance.
const LEN_MIN: usize = 8;

/// The secrets that are looked for.
#[derive(Default)]
pub(crate) struct Scanner {
    secrets: Vec<Sought>,
}

struct Sought {
    name: String,
    written: Vec<(&'static str, Vec<u8>)>,
}

impl Scanner {
    /// Looks for this one too. The same name may stand for several secrets of one kind.
    pub(crate) fn learn(&mut self, name: &str, secret: &[u8]) {
        assert!(secret.len() >= LEN_MIN, "{name} is too short to look for");
        let end = &secret[secret.len().saturating_sub(END_LEN)..];
        let written: Vec<_> = written(end).into_iter().chain(whole(secret)).collect();
        if !self.secrets.iter().any(|known| known.name == name && known.written == written) {
            self.secrets.push(Sought { name: name.to_owned(), written });
        }
    }

    /// How many are looked for, of these names.
    pub(crate) fn known(&self, name: &str) -> usize {
        self.secrets.iter().filter(|secret| secret.name == name).count()
    }

    /// What is found in `bytes` and must not be: a line for each, which does not repeat the secret.
    pub(crate) fn find(&self, place: &str, bytes: &[u8], allowed: &[&str]) -> Vec<String> {
        // Bytes that are not text become marks; what is looked for as text is not touched by that.
        let text = String::from_utf8_lossy(bytes);
        let mut found = Vec::new();
        for secret in self.secrets.iter().filter(|secret| !allowed.contains(&secret.name.as_str())) {
            for (form, needle) in &secret.written {
                let is_there = match std::str::from_utf8(needle) {
                    Ok(needle) => text.contains(needle),
                    Err(_) => bytes.windows(needle.len()).any(|window| window == needle),
                };
                if is_there {
                    found.push(format!("{} ({form}) in {place}", secret.name));
                }
            }
        }
        found
    }
}

/// Every way a secret's end may be written.
pub(crate) fn written(end: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |digit: fn(&u8) -> String| end.iter().map(digit).collect::<String>().into_bytes();
    let decimal: Vec<_> = end.iter().map(u8::to_string).collect();
    let mut ways = vec![
        ("plain", end.to_vec()),
        ("hex", hex(|byte| format!("{byte:02x}"))),
        ("upper-case hex", hex(|byte| format!("{byte:02X}"))),
        ("URL-escaped, every byte", hex(|byte| format!("%{byte:02X}"))),
        ("URL-escaped, every byte, lower case", hex(|byte| format!("%{byte:02x}"))),
        ("list of bytes", decimal.join(", ").into_bytes()),
    ];
    // Where it stands in a longer text, base64 begins at any of three places; what its neighbours decide is left out.
    for before in 0..3 {
        let padded = [&[0; 2][..before], end].concat();
        let whole_groups = padded.len() / 3 * 4;
        let from = (before * 8).div_ceil(6);
        ways.push(("base64", STANDARD_NO_PAD.encode(&padded).as_bytes()[from..whole_groups].to_vec()));
        ways.push(("base64url", URL_SAFE_NO_PAD.encode(&padded).as_bytes()[from..whole_groups].to_vec()));
    }
    ways
}

/// The ways that change a text's punctuation.
fn whole(secret: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let text = std::str::from_utf8(secret).ok()?;
    let form = encode(&[("", text)]);
    let escaped = form.trim_start_matches('=');
    (escaped != text).then(|| ("URL-escaped", escaped.as_bytes().to_vec()))
}

#[test]
fn a_secret_inside_a_longer_encoded_text_is_found() {
    let mut scanner = Scanner::default();
    scanner.learn("token", b"hpr_0123456789abcdefghijABCDEFGHIJ");
    for before in ["", "x", "xy", "xyz"] {
        for after in ["", ".", "..", "..."] {
            let longer = format!("{before}hpr_0123456789abcdefghijABCDEFGHIJ{after}");
            let text = format!("payload={}", STANDARD_NO_PAD.encode(longer));
            assert!(!scanner.find("a log", text.as_bytes(), &[]).is_empty(), "{text}");
        }
    }
    assert!(scanner.find("a log", b"hpr_0123456789abcdef is not all of it", &[]).is_empty());
    assert!(scanner.find("a log", b"hpr_0123456789abcdefghijABCDEFGHIJ", &["token"]).is_empty());
}
