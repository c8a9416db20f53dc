//! What is asked.

use hallpass_model::rung::Rung;
use hallpass_model::time::Lifetime;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Question, Revealed};
use crate::admin::shape::object;

macro_rules! questions {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[allow(missing_docs, reason = "most names of members say what they are")]
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$about])* pub $field: $type,)* }

        impl Question for $name {
            #[allow(unused_mut, unused_assignments, reason = "not every question is of an org")]
            fn org(&mut self) -> Option<&mut Option<String>> {
                let mut org = None;
                $(org_of!(self.$field => org);)*
                org
            }

            #[allow(unused_mut, unused_assignments, reason = "not every question is about one thing")]
            fn thing(&self) -> Option<&str> {
                let mut thing = None;
                $(thing_of!(self.$field => thing);)*
                thing
            }
        }

        object!($name { $(#[$doc])* } closed $($field: $type { $(#[$about])* })*);
    )*};
}

macro_rules! org_of {
    ($self:ident.org => $found:ident) => {
        $found = Some(&mut $self.org)
    };
    ($self:ident.$other:ident => $found:ident) => {};
}

macro_rules! thing_of {
    ($self:ident.handle => $found:ident) => {
        $found = Some($self.handle.as_str())
    };
    ($self:ident.url => $found:ident) => {
        $found = Some($self.url.as_str())
    };
    ($self:ident.$other:ident => $found:ident) => {};
}

questions! {
    /// Asks nothing in particular.
    Nothing {}
    /// One org; the only one where none is named.
    InOrg { org: Option<String>, }
    /// Everything of a kind in an org, or as much of it as is wanted.
    ListOf {
        org: Option<String>,
        /// Begins with what comes after this short name, or this URL.
        after: Option<String>,
        /// At most so many.
        limit: Option<u32>,
    }
    /// One thing of an org, by its short name.
    OneOf { org: Option<String>, handle: String, }
    /// A new org.
    OrgAdd { name: String, title: Option<String>, administrator: String, administrator_name: Option<String>, }
    /// What an org shortens; what is `None` stays.
    OrgLimitsSet {
        org: Option<String>,
        access_token: Option<Lifetime>,
        session_idle: Option<Lifetime>,
        session_absolute: Option<Lifetime>,
        api_key: Option<Lifetime>,
        #[serde(default)]
        reset: bool,
    }
    /// Where keys of an org's sign-ins may rest; anywhere where none is named.
    OrgRungsSet { org: Option<String>, rungs: Vec<Rung>, }
    /// What an org requires of everything in it, in place of what it did.
    OrgRequire { org: Option<String>, acr: Option<String>, max_age: Option<Lifetime>, #[serde(default)] static_by_exception: bool,
        /// Whether people log in by the org's own provider alone.
        #[serde(default)]
        sso_only: bool,
    }
    /// The provider that an org's people log in by from now on.
    OrgLoginSet {
        org: Option<String>,
        issuer: String,
        client_id: String,
        /// The secret that we prove ourselves by there; without one we sign with the org's own key.
        client_secret: Option<Zeroizing<String>>,
        /// What people call it.
        title: Option<String>,
        /// Whether whoever it signs in becomes a person of the org.
        #[serde(default)]
        newcomers: bool,
    }
    /// A new administrator for an org that has none.
    Recover { org: Option<String>, handle: String, name: Option<String>, }
    /// A new person.
    PersonAdd { org: Option<String>, handle: String, name: Option<String>, }
    /// A passkey to remove.
    PasskeyRemove { org: Option<String>, handle: String, passkey: String, }
    /// An org that is to sign with another key.
    OrgRotateKey {
        org: Option<String>,
        #[serde(default)]
        emergency: bool,
        /// `ES256` or `EdDSA`; the one that it signs by now where it is left out.
        #[serde(default)]
        algorithm: Option<String>,
    }
    /// A new team.
    TeamAdd { org: Option<String>, handle: String, #[serde(default)] members: Vec<String>, }
    /// What a team's members are in the org from now on.
    TeamRoleSet {
        org: Option<String>,
        handle: String,
        /// `responder` or `auditor`; neither where it is left out.
        role: Option<String>,
    }
    /// Who is in a team from now on.
    TeamMembers { org: Option<String>, handle: String, members: Vec<String>, }
    /// A new client.
    ClientAdd {
        org: Option<String>,
        handle: String,
        name: Option<String>,
        kind: String,
        /// `person:HANDLE` or `team:HANDLE`.
        owner: String,
        /// All of its kind's where none is given.
        #[serde(default)]
        grant_types: Vec<String>,
        #[serde(default)]
        redirect_uris: Vec<String>,
        #[serde(default)]
        scopes: Vec<String>,
        #[serde(default)]
        device_flow_barred: Vec<String>,
        /// A date, or a moment (RFC 3339).
        older_assertions_until: Option<String>,
        /// A JWK set of public keys.
        jwks: Option<serde_json::Value>,
        /// Where it publishes its keys itself.
        jwks_uri: Option<String>,
        /// Until when it may prove itself by a secret: a date, or a moment.
        secrets_until: Option<String>,
        /// The environment whose resources it may have tokens for; any if left out.
        #[serde(default)]
        environment: Option<String>,
    }
    /// Of which environment's resources a client may have tokens from now on.
    ClientEnvironment { org: Option<String>, handle: String, environment: Option<String>, }
    /// Whether a client is held to FAPI 2.0's security profile from now on.
    ClientFapi { org: Option<String>, handle: String, fapi: bool, }
    /// A host whose clients are known by a document of their own from now on.
    DocumentsAllow {
        org: Option<String>,
        /// `*` for any host.
        host: String,
        owner: String,
        #[serde(default)]
        scopes: Vec<String>,
        environment: Option<String>,
    }
    /// A host whose documents are taken no more.
    DocumentsForbid { org: Option<String>, host: String, }
    /// What clients that register themselves may have from now on.
    RegistrationAllow {
        org: Option<String>,
        owner: String,
        #[serde(default)]
        scopes: Vec<String>,
        environment: Option<String>,
    }
    /// A token to register clients with.
    RegistrationToken {
        org: Option<String>,
        /// How many clients it registers; one if left out.
        uses: Option<u32>,
        /// A day if left out.
        lifetime: Option<Lifetime>,
    }
    /// A new secret for a client.
    ClientRotate {
        org: Option<String>,
        handle: String,
        /// As long as the table allows where it is left out; so for the overlap.
        lifetime: Option<Lifetime>,
        overlap: Option<Lifetime>,
        /// Until when it may prove itself by a secret from now on, if that is to change.
        until: Option<String>,
    }
    /// A secret of a client's, by its id.
    ClientSecretOf { org: Option<String>, handle: String, secret: String, }
    /// Keys for a client.
    ClientKeyAdd { org: Option<String>, handle: String, jwks: serde_json::Value, }
    /// A key of a client's, by its id.
    ClientKeyOf { org: Option<String>, handle: String, kid: String, }
    /// A new resource.
    ResourceAdd {
        org: Option<String>,
        url: String,
        name: Option<String>,
        owner: String,
        environment: String,
        #[serde(default)]
        scopes: Vec<String>,
        /// The handle of the client that may introspect.
        server: Option<String>,
    }
    /// A new trust.
    TrustAdd {
        org: Option<String>,
        handle: String,
        /// The handle of the client that whoever comes in becomes.
        client: String,
        environment: String,
        preset: String,
        /// The preset's own where none is given.
        issuer: Option<String>,
        /// The org's issuer where none is given.
        audience: Option<String>,
        /// `CLAIM=PATTERN`.
        #[serde(default)]
        when: Vec<String>,
        /// Where its keys are; its discovery document says where neither is given.
        jwks_uri: Option<String>,
        /// A JWK set of public keys.
        jwks: Option<serde_json::Value>,
        #[serde(default)]
        scopes: Vec<String>,
        /// The table's where none is given.
        longest: Option<Lifetime>,
    }
    /// A new API key.
    KeyAdd {
        org: Option<String>,
        handle: String,
        /// The handle of the client that whoever has it comes in as.
        client: String,
        /// The client's where none is given.
        owner: Option<String>,
        #[serde(default)]
        scopes: Vec<String>,
        #[serde(default)]
        resources: Vec<String>,
        #[serde(default)]
        networks: Vec<String>,
        /// The table's where none is given.
        lasts: Option<Lifetime>,
        /// A date, or a moment (RFC 3339).
        direct_until: Option<String>,
        reason: Option<String>,
        exception: Option<String>,
        exception_until: Option<String>,
    }
    /// A new secret for an API key.
    KeyRotate { org: Option<String>, handle: String, overlap: Option<Lifetime>, lasts: Option<Lifetime>, }
    /// An API key to end, or one of its secrets.
    KeyRevoke { org: Option<String>, handle: String, secret: Option<String>, }
    /// An API key whose users are to be moved.
    KeyMigrate { org: Option<String>, handle: String, end: Option<String>, }
    /// A token of an outside issuer, to be weighed.
    TrustTest { org: Option<String>, token: Revealed, trust: Option<String>, }
    /// Everything that somebody answers for: whoever asks, where nobody is named.
    OwnedBy {
        org: Option<String>,
        /// `person:HANDLE` or `team:HANDLE`.
        owner: Option<String>,
    }
    /// What somebody is told about what they answer for: whoever asks, where nobody is named.
    NoticesOf {
        org: Option<String>,
        /// A person's short name.
        person: Option<String>,
        /// Those alone that were not read.
        #[serde(default)]
        unread: bool,
    }
    /// Up to which entry of the ledger whoever asks has read what they were told.
    NoticesRead { org: Option<String>, upto: u64, }
    /// Another owner for a thing.
    OwnerTransfer {
        org: Option<String>,
        /// Whose they must be: `person:HANDLE` or `team:HANDLE`.
        from: Option<String>,
        /// `client:HANDLE` or `resource:URL`; or none, with `all`.
        #[serde(default)]
        things: Vec<String>,
        /// Everything that `from` answers for.
        #[serde(default)]
        all: bool,
        /// `person:HANDLE` or `team:HANDLE`.
        to: String,
        /// Whether to say what would change, and change nothing.
        #[serde(default)]
        dry_run: bool,
    }
    /// What a client demands of how a person proved who they are; nothing where both are empty.
    ClientRequire {
        org: Option<String>, handle: String, acr: Option<String>, max_age: Option<Lifetime>,
        /// Whether its authorization requests must be pushed.
        #[serde(default)]
        pushed_requests: bool,
    }
    /// What a scope of a resource demands, likewise.
    ResourceRequire {
        org: Option<String>, url: String, scope: String, acr: Option<String>, max_age: Option<Lifetime>,
    }
    /// One resource.
    OneResource { org: Option<String>, url: String, }
    /// A person's sessions.
    SessionList { org: Option<String>, person: String, }
    /// A session to end.
    SessionEnd { org: Option<String>, session: String, }
    /// An agent of a person's to take out of use.
    AgentOf {
        org: Option<String>,
        /// The person's short name.
        handle: String,
        /// The agent's.
        agent: String,
    }
    /// A run to end, with all that it started.
    RunOf { org: Option<String>, run: String, }
    /// What came of what: below a person, a client or a session, or where this run, lease, pass or API key stands.
    LineageAsk {
        org: Option<String>,
        /// The id of any of these.
        of: String,
    }
    /// What to cut.
    CutMake {
        org: Option<String>,
        /// `org`, `principal`, `client`, `device`, `session` or `credential`.
        axis: String,
        id: String,
    }
    /// An answer to a device flow.
    Approve { org: Option<String>, code: String, person: String, #[serde(default)] deny: bool, }
    /// A backup, to a file that is not there yet. An absolute path.
    Backup { file: String, }
    /// A proof out of the ledger: that this entry is in it, or that it begins with what this checkpoint signed.
    ProofAsk { entry: Option<u64>, since: Option<String>, }
    /// Which entries of the ledger, the newest first; `None` is all.
    LedgerPageAsk {
        org: Option<String>,
        /// Before this entry: what the page before said is next.
        before: Option<u64>,
        /// At most so many.
        limit: Option<u32>,
        /// A moment (RFC 3339), or how long ago (`2h`).
        since: Option<String>,
        principal: Option<String>,
        client: Option<String>,
        device: Option<String>,
        session: Option<String>,
        event: Option<String>,
    }
    /// Which entries of the ledger; `None` is all.
    LedgerAsk {
        org: Option<String>,
        /// A moment (RFC 3339), or how long ago (`2h`).
        since: Option<String>,
        principal: Option<String>,
        client: Option<String>,
        device: Option<String>,
        session: Option<String>,
        event: Option<String>,
        /// Whether to go on with what is written from now on.
        #[serde(default)]
        follow: bool,
    }
}
