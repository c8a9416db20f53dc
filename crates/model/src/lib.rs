//! The words Hallpass uses and the rules it keeps. No files, no sockets, no SQL, no clock.
//!
//! In reading order:

// The small types everything stands on.
pub mod id; // TypeIDs: public names of things, one type a kind
pub mod time; // Timestamp and Lifetime
pub mod lifetimes; // the one table of how long anything lives
pub mod secret; // values whose possession is proof
pub mod spelling; // how a secret is written down: prefix, base62, checksum
pub mod random; // where randomness comes from, as a parameter
pub mod nearest; // which word was meant by a misspelt one
pub mod network; // addresses that begin with the same bits

// The nouns.
pub mod principal; // orgs, teams, principals, owners
pub mod client; // software that asks for credentials, and the APIs it asks them for
pub mod device; // the machine a session lives on
pub mod rung; // where a sign-in's key rests on it
pub mod purpose; // why, in a few words
pub mod grant; // what a person agreed to
pub mod step_up; // how strongly and lately they must have proved who they are
pub mod credential_kind; // every kind of credential, in one table
pub mod advice; // which kind is right for whom
pub mod trust; // by which rule an outside identity becomes a principal here
pub mod api_key; // the exception: a secret that lives for weeks, and only buys tokens
pub mod agent; // software that acts for a person, and what one run of it may use
pub mod session; // one login on one device, and the rotation that cannot lose it
pub mod raise; // a session made as strong as its person has just proved anew
pub mod cut; // revocation, on six axes
pub mod role; // who may do what to whom
pub mod ledger; // the provable record: entries, tree, checkpoints, checking a copy

// What crosses the network.
pub mod jose; // signed tokens and keys, read strictly
pub mod wire; // the forms of OAuth's requests and answers
pub mod verifier; // judging an access token without asking its issuer
