//! A small world to test in.

pub mod clock; // time that moves only when a test moves it
pub mod world; // an issuer with an org, a person, clients and an API, served on an ephemeral port
pub mod client; // what a client sends, and what it is told
pub mod browser; // a real Chromium, with a passkey in its pocket
pub mod passkey; // an authenticator without a browser
pub mod small_provider; // a provider whose faults a test can choose
pub mod outside_issuer; // whoever signs what CI jobs and pods are, with faults a test can choose
pub mod document_host; // where clients publish what they are, with faults a test can choose
pub mod disk; // a disk that forgets what was not synced, or is full
pub mod desktop; // a session bus with a real keyring on it
pub mod chip; // a real TPM, in software
pub mod visitor; // somebody at the pages, without a browser

pub use client::{Refused, Reply, Tokens};
pub use clock::TestClock;
pub use visitor::Visitor;
pub use world::World;
