//! The example against our own issuer and another implementation's, and the library without a program around it.
#![expect(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod assess;
mod desk; // a person with the program, an issuer and an API
mod program; // the program itself
mod library; // the client it is made of
