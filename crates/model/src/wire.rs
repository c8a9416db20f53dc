//! Forms that cross the network, shared by both ends: tolerant of what others send, strict with what we wrote.

/// Serde by `text` and `parse`, for words of the wire that have an `Unknown`.
macro_rules! text_serde {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.text())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                Ok(Self::parse(&text))
            }
        }
    };
}

pub mod oauth; // requests and responses of the OAuth endpoints, scopes, forms
pub mod errors; // OAuth's error codes and the body that carries one
pub mod claims; // what an access token says
pub mod id_token; // what an ID token says, and when to believe it
pub mod client_document; // what a client says of itself at its own address
pub mod registration; // what a client that registers itself says, and is told (RFC 7591, RFC 7592)
pub mod assertion; // what a client says of itself (private_key_jwt)
pub mod pkce; // code verifiers and challenges
pub mod dpop; // proofs of possession, and the nonces they answer
pub mod replay; // ids that are good for one use
pub mod metadata; // where an issuer's endpoints are
pub mod resource_metadata; // what an API says of itself
pub mod agents; // what our issuer says of agents and their runs
pub mod redirect; // redirect URIs: what may be registered, what matches
