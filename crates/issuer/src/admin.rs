//! What can be done about everything that the issuer knows: the verbs of `hallpass admin`, whoever asks and by whatever way.
//!
//! A verb takes a question in JSON and gives an answer in JSON ([`forms`]). Each names the [`Act`] that it is, and the one table
//! of roles says who may. The operator's commands come by the server's own socket, which is the program's.
//!
//! [`Act`]: hallpass_model::role::Act

pub mod forms; // what is asked and answered
mod links; // one-time links as addresses
mod office; // whose office a verb is done in
mod openapi; // all of it, described for others
mod refused; // why one did nothing
mod shape; // what JSON a question and an answer are
mod story; // entries of the ledger as people read them
mod verbs; // every verb on one page, one file a subject

pub use links::setup_url;
pub(crate) use office::Member;
pub use office::Office;
pub(crate) use openapi::openapi;
pub use refused::{Kind, Refused};
#[cfg(test)]
pub(crate) use shape::Schemas;
pub use verbs::{Body, Verb, find, whole};
