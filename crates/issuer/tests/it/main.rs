//! The issuer over HTTP: one file an endpoint, a page, or a grant type of the token endpoint.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

mod admin_api;
mod agents;
mod api_keys;
mod authorize;
mod browser;
mod client_credentials;
mod client_documents;
mod client_proofs;
mod consent;
mod console;
mod console_in_browser;
mod cuts;
mod device;
mod device_page;
mod disk;
mod environments;
mod exchange;
mod fapi;
mod federated;
mod introspect;
mod leaked;
mod lease;
mod session_stream;
mod metadata;
mod notices;
mod pushed;
mod raise;
mod refresh;
mod registration;
mod refusals;
mod requests;
mod revoke;
mod roles;
mod rungs;
mod sent_keys;
mod sessions_page;
mod signing_keys;
mod step_up;
mod story;
mod tidy;
mod token_code;
mod web;
