//! Ids: public names of things, one type for each kind.
//!
//! An id is a UUIDv7 spelled as a TypeID (`crd_01j9...`): safe to log, sort and paste, and never a secret.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::random::Entropy;
use crate::time::Timestamp;

/// Text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form `{prefix}_...`")]
pub struct BadId {
    /// The prefix that was wanted.
    pub prefix: &'static str,
    /// What was given, cut to 64 characters.
    pub text: String,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What its spelling begins with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Makes a new id: its first 48 bits are `now`, the rest is random.
            pub fn new(now: Timestamp, entropy: &dyn Entropy) -> Self {
                Self(new_uuid(now, entropy))
            }

            /// The id whose 16 bytes these are.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes, as the store keeps them.
            pub fn bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, Base32(self.0.as_bytes()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = || BadId { prefix: $prefix, text: text.chars().take(64).collect() };
                let rest = text.strip_prefix(concat!($prefix, "_")).ok_or_else(bad)?;
                parse_base32(rest).map(Self::from_bytes).ok_or_else(bad)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A tenant; its own OAuth issuer.
    OrgId = "org";
    /// People who answer together.
    TeamId = "tem";
    /// An API that accepts tokens.
    ResourceId = "res";
    /// The machine a session lives on.
    DeviceId = "dev";
    /// Someone or something that acts: a person, a workload or an agent.
    PrincipalId = "prn";
    /// Software registered to ask for credentials.
    ClientId = "cli";
    /// One login on one device.
    SessionId = "ses";
    /// A recorded permission.
    GrantId = "gnt";
    /// One credential of any kind. Proves nothing.
    CredentialId = "crd";
    /// A hand-over of a credential to one task.
    LeaseId = "lse";
    /// One passkey of a person.
    PasskeyId = "pky";
    /// Software that acts for a person, as that person registered it.
    AgentId = "agt";
    /// A rule by which an outside identity becomes a client here.
    TrustId = "tru";
}

fn new_uuid(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0u8; 10];
    entropy.fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(now.millis().max(0) as u64, &random).into_uuid()
}

/// Crockford's base32, lower case, as TypeID has it: 26 characters for 128 bits.
struct Base32<'a>(&'a [u8; 16]);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl fmt::Display for Base32<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = u128::from_be_bytes(*self.0);
        let mut text = [0u8; 26];
        for (i, c) in text.iter_mut().enumerate() {
            *c = ALPHABET[((n >> (5 * (25 - i))) & 31) as usize];
        }
        f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

fn parse_base32(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    // 26 characters hold 130 bits: the first may only be 0 to 7.
    if text.len() != 26 || text[0] > b'7' {
        return None;
    }
    let mut n: u128 = 0;
    for c in text {
        let digit = ALPHABET.iter().position(|a| a == c)?;
        n = (n << 5) | digit as u128;
    }
    Some(n.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;

    #[test]
    fn an_id_reads_back_and_sorts_by_time() {
        let entropy = Seeded::new(7);
        let older = SessionId::new(Timestamp::from_millis(1_000), &entropy);
        let newer = SessionId::new(Timestamp::from_millis(2_000), &entropy);
        assert!(older < newer && older.to_string() < newer.to_string());
        assert_eq!(older.to_string().parse::<SessionId>(), Ok(older));
    }

    #[test]
    fn the_typeid_specification_s_own_examples_read_back() {
        // From the TypeID specification's valid.json: max and nil.
        let max = "ses_7zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<SessionId>().unwrap();
        assert_eq!(max.bytes(), &[0xff; 16]);
        let nil = "ses_00000000000000000000000000".parse::<SessionId>().unwrap();
        assert_eq!(nil.bytes(), &[0; 16]);
        let known = "ses_01h455vb4pex5vsknk084sn02q".parse::<SessionId>().unwrap();
        assert_eq!(Uuid::from_bytes(*known.bytes()).to_string(), "01890a5d-ac96-774b-bcce-b302099a8057");
    }

    #[test]
    fn another_kind_or_a_malformed_spelling_is_refused() {
        for bad in [
            "",
            "ses_",
            "crd_01h455vb4pex5vsknk084sn02q",
            "ses_81h455vb4pex5vsknk084sn02q",
            "ses_01h455vb4pex5vsknk084sn02",
            "ses_01H455VB4PEX5VSKNK084SN02Q",
            "ses_01h455vb4pex5vsknk084sn02u",
        ] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }
}
