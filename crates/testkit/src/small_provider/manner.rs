//! How a small provider behaves, right or wrong.

use serde_json::Value;

/// What a provider is like. Tests change it while it runs.
#[derive(Debug, Clone)]
pub struct Manner {
    /// A Hallpass issuer: bound tokens, exchange, held polls.
    pub ours: bool,
    /// A login comes with a refresh token.
    pub gives_refresh_tokens: bool,
    /// The `expires_in` it says, if it says any, in seconds.
    pub says_expires_in: Option<i64>,
    /// It has a revocation endpoint.
    pub revokes: bool,
    /// Its revocation endpoint is out of order.
    pub cannot_revoke_now: bool,
    /// What its revocation endpoint answers instead of revoking: a status, and OAuth's word for it if it has one.
    pub answers_revocation: Option<(u16, Option<&'static str>)>,
    /// Another use of a spent refresh token ends the session. Otherwise the successor is handed out again.
    pub strict: bool,
    /// The person's answer to a device login.
    pub approves: Option<bool>,
    /// Polls that are answered with this error first, the last one soonest; `503` for a server in trouble.
    pub polls: Vec<&'static str>,
    /// Refreshes whose answer is a 500 after all, though the token is rotated.
    pub lose_answers: usize,
    /// Everything at the token endpoint is answered with this status and no OAuth error.
    pub broken: Option<u16>,
    /// Errors come with 200, as at GitHub.
    pub errors_with_200: bool,
    /// What it says of a refresh token that it refuses, `TOKEN` standing for the token.
    pub says_of_refused: &'static str,
    /// The organisation its tokens are for.
    pub org: &'static str,
    /// Whom its tokens are about.
    pub subject: &'static str,
    /// A refresh brings a new refresh token. Otherwise the first one goes on, and none comes with the answer.
    pub rotates: bool,
    /// Whether it gives an address with the user code in it.
    pub says_complete: bool,
    /// What its metadata says it is, if not what it is.
    pub says_issuer: Option<String>,
    /// Its error at the device authorization endpoint, as a tenant has it that forbids codes; `404` for no such endpoint.
    pub refuses_codes: Option<&'static str>,
    /// It publishes metadata.
    pub publishes: bool,
    /// Its answers are forms (RFC 6749, appendix B), as some that are older have it, whatever was asked for.
    pub answers_forms: bool,
    /// Its access tokens say nothing, and no ID token comes with them.
    pub opaque: bool,
    /// The `scope` that it says.
    pub says_scope: Value,
    /// The `token_type` that it says, if not what it is.
    pub says_token_type: Option<&'static str>,
    /// The `expires_in` is a text.
    pub expires_in_is_text: bool,
    /// Its access, refresh and ID tokens have so many bytes more than they need.
    pub longer_by: usize,
    /// How far its clock is ahead of ours, in seconds; everything that it says about the time is so.
    pub ahead: i64,
    /// It judges a proof by the time in it, and gives no nonces.
    pub proofs_by_clock: bool,
    /// What it keeps waiting until this is changed: a grant type at the token endpoint, by its last word, `jwks` or `revoke`.
    pub holds: Option<&'static str>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            ours: true,
            gives_refresh_tokens: true,
            says_expires_in: Some(300),
            revokes: true,
            cannot_revoke_now: false,
            answers_revocation: None,
            strict: false,
            approves: Some(true),
            polls: Vec::new(),
            lose_answers: 0,
            broken: None,
            errors_with_200: false,
            says_of_refused: "no",
            org: "acme",
            subject: "prn_ada",
            rotates: true,
            says_complete: true,
            says_issuer: None,
            refuses_codes: None,
            publishes: true,
            answers_forms: false,
            opaque: false,
            says_scope: "openid notes:read".into(),
            says_token_type: None,
            expires_in_is_text: false,
            longer_by: 0,
            ahead: 0,
            proofs_by_clock: false,
            holds: None,
        }
    }
}
