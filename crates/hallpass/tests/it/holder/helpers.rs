//! Programs that ask for a token: the real ones, each at a server that lets in nobody without a token of ours.
//!
//! `make test` installs them. Where one is missing there is nothing to test with, and its tests pass.

mod gate; // who is let in
mod desk; // what they all share: which entry is meant, whose it is
mod setup; // what is written into other programs' files, and taken out again
mod git;
mod docker;
pub(super) mod interop; // programs that `make test` installs beside the tests
mod kubectl;
mod cargo;
mod pip;
mod pnpm;
mod aws;
mod gcp;
