//! What an API sees: tokens of every kind of badness, and an issuer that comes and goes.
#![expect(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod dpop;
mod forged;
mod issuer;
mod layer;
mod judging;
