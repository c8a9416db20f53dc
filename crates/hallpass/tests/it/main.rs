//! The program as people run it: a process, its files, its exit code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin;
mod api_keys;
mod front;
mod holder;
mod ledger;
mod metrics;
mod packaging;
mod program;
mod promises; // what must be true of the whole, whatever happens
mod serve;
mod torture;
mod transcripts;
mod trusts;
