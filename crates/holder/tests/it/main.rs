//! The holder against a provider whose faults a test can choose.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod desk;
mod browser_login;
mod device_login;
mod passes;
mod pasted_login;
mod profiles;
mod renewal;
mod logout;
mod owed;
mod oidc_provider;
mod promises;
