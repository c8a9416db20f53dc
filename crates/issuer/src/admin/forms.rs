//! What is asked and answered: JSON, ids and times as text.
//!
//! Both ends are this program, so an unknown member of a question is an error; of an answer it is ignored, so that
//! an older command can speak to a newer server.

use std::fmt;

use hallpass_model::principal::{OrgLimits, Requirements};
use hallpass_model::rung::Rung;
use hallpass_model::time::Lifetime;
use hallpass_model::trust::{Finding, Line};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

macro_rules! questions {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[allow(missing_docs, reason = "most names of members say what they are")]
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
    )*};
}

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[allow(missing_docs, reason = "most names of members say what they are")]
        #[derive(Debug, Serialize, Deserialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
    )*};
}

questions! {
    /// Asks nothing in particular.
    Nothing {}
    /// One org.
    Named { name: String, }
    /// Everything of a kind in an org; the only org where none is named.
    InOrg { org: Option<String>, }
    /// One thing of an org, by its short name.
    OneOf { org: Option<String>, handle: String, }
    /// A new org.
    OrgAdd { name: String, title: Option<String>, administrator: String, administrator_name: Option<String>, }
    /// What an org shortens; what is `None` stays.
    OrgLimitsSet {
        name: String,
        access_token: Option<Lifetime>,
        session_idle: Option<Lifetime>,
        session_absolute: Option<Lifetime>,
        api_key: Option<Lifetime>,
        reset: bool,
    }
    /// Where keys of an org's sign-ins may rest; anywhere where none is named.
    OrgRungsSet { name: String, rungs: Vec<Rung>, }
    /// What an org requires of everything in it, in place of what it did.
    OrgRequire { name: String, acr: Option<String>, max_age: Option<Lifetime>, static_by_exception: bool,
        /// Whether people log in by the org's own provider alone.
        #[serde(default)]
        sso_only: bool,
    }
    /// The provider that an org's people log in by from now on.
    OrgLoginSet {
        name: String,
        issuer: String,
        client_id: String,
        /// The secret that we prove ourselves by there; without one we sign with the org's own key.
        client_secret: Option<Zeroizing<String>>,
        /// What people call it.
        title: Option<String>,
        /// Whether whoever it signs in becomes a person of the org.
        newcomers: bool,
    }
    /// A new administrator for an org that has none.
    Recover { org: String, handle: String, name: Option<String>, }
    /// A new person.
    PersonAdd { org: Option<String>, handle: String, name: Option<String>, }
    /// A passkey to remove.
    PasskeyRemove { org: Option<String>, handle: String, passkey: String, }
    /// An org that is to sign with another key.
    OrgRotateKey {
        name: String,
        emergency: bool,
        /// `ES256` or `EdDSA`; the one that it signs by now where it is left out.
        #[serde(default)]
        algorithm: Option<String>,
    }
    /// A new team.
    TeamAdd { org: Option<String>, handle: String, members: Vec<String>, }
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
        grant_types: Vec<String>,
        redirect_uris: Vec<String>,
        scopes: Vec<String>,
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
        scopes: Vec<String>,
        environment: Option<String>,
    }
    /// A host whose documents are taken no more.
    DocumentsForbid { org: Option<String>, host: String, }
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
        when: Vec<String>,
        /// Where its keys are; its discovery document says where neither is given.
        jwks_uri: Option<String>,
        /// A JWK set of public keys.
        jwks: Option<serde_json::Value>,
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
        scopes: Vec<String>,
        resources: Vec<String>,
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
    /// Another owner for a thing.
    OwnerTransfer {
        org: Option<String>,
        /// Whose they must be: `person:HANDLE` or `team:HANDLE`.
        from: Option<String>,
        /// `client:HANDLE` or `resource:URL`; or none, with `all`.
        things: Vec<String>,
        /// Everything that `from` answers for.
        all: bool,
        /// `person:HANDLE` or `team:HANDLE`.
        to: String,
        /// Whether to say what would change, and change nothing.
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
    SessionEnd { session: String, }
    /// What to cut.
    CutMake { axis: String, id: String, }
    /// An answer to a device flow.
    Approve { org: Option<String>, code: String, person: String, deny: bool, }
    /// A backup, to a file that is not there yet. An absolute path.
    Backup { file: String, }
    /// A proof out of the ledger: that this entry is in it, or that it begins with what this checkpoint signed.
    ProofAsk { entry: Option<u64>, since: Option<String>, }
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
        follow: bool,
    }
}

answers! {
    /// An org.
    OrgShown {
        id: String, name: String, title: String, issuer: String, state: String, administrators: Vec<String>,
        limits: OrgLimits, requires: Requirements, created: String,
    }
    /// A thing that does not meet what its org requires.
    UnmetShown {
        /// `key:HANDLE` or `trust:HANDLE`.
        thing: String,
        /// The rule that it breaks, by a name that stays.
        rule: String,
        told: String, hint: String,
    }
    /// A new org, with its administrator's link.
    OrgAdded { org: OrgShown, administrator: PersonShown, link: LinkShown, }
    /// A one-time link: whoever has it may use it.
    LinkShown { url: Revealed, expires: String, }
    /// A person.
    PersonShown {
        id: String, org: String, handle: String, name: String, owner: String, state: String, teams: Vec<String>,
        created: String,
        /// What is suspended until somebody takes it over, as this person has just left.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        suspended: Vec<String>,
        /// What the administrators answer for from now on instead.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        handed_over: Vec<String>,
    }
    /// A person with their enrolment link.
    PersonAdded { person: PersonShown, link: LinkShown, }
    /// A passkey.
    PasskeyShown { id: String, name: String, created: String, used: Option<String>, }
    /// A team.
    TeamShown {
        id: String, org: String, handle: String, state: String, members: Vec<String>, created: String,
        /// What is suspended until somebody takes it over, as nobody in this team can answer any more.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        suspended: Vec<String>,
        /// What the administrators answer for from now on instead.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        handed_over: Vec<String>,
    }
    /// What is demanded of how a person proved who they are.
    DemandShown {
        thing: String, scope: Option<String>, acr: Option<String>, max_age: Option<Lifetime>,
        /// Where it is a client: whether its authorization requests must be pushed.
        #[serde(default)]
        pushed_requests: bool,
    }
    /// A thing that was given another owner, or would be.
    OwnerShown {
        thing: String, from: String, to: String,
        /// `none`, as they answered for it already, `owner`, or `owner, suspension lifted`.
        change: String,
    }
    /// The keys that an org signs with, or did.
    OrgKeysShown { org: String, keys: Vec<SigningKeyShown>, }
    /// One of them.
    SigningKeyShown {
        kid: String,
        /// `ES256` or `EdDSA`.
        #[serde(default)]
        algorithm: String,
        /// `next`, `signs` or `signed`.
        state: String,
        /// When it began to sign, or will.
        signs_from: String,
        /// When it signed its last.
        signed_until: Option<String>,
    }
    /// A client.
    ClientShown {
        /// The address of its document, if that is its `client_id`.
        document: Option<String>,
        id: String, org: String, handle: String, name: String, kind: String, owner: String, state: String,
        /// `none`, `private_key_jwt` or `client_secret`.
        authentication: String,
        /// Where it publishes its keys itself.
        #[serde(default)]
        jwks_uri: Option<String>,
        /// Until when it may prove itself by a secret.
        #[serde(default)]
        secrets_until: Option<String>,
        grant_types: Vec<String>, redirect_uris: Vec<String>, scopes: Vec<String>,
        /// Whether it may ask for every scope of the org's resources.
        any_scope: bool,
        device_flow_barred: Vec<String>,
        /// The environment whose resources it may have tokens for; any if there is none.
        #[serde(default)]
        environment: Option<String>,
        /// Where it is let off the newer form of client assertions.
        older_assertions_until: Option<String>,
        /// How strongly its people must have proved who they are, and how lately.
        #[serde(default)]
        acr: Option<String>,
        #[serde(default)]
        max_age: Option<Lifetime>,
        /// Whether it is held to FAPI 2.0's security profile.
        #[serde(default)]
        fapi: bool,
        /// Whether its authorization requests must be pushed.
        #[serde(default)]
        pushed_requests: bool,
        created: String,
    }
    /// A new secret of a client's: the one time that it is shown.
    ClientSecretMade {
        client: String, id: String, secret: Revealed, expires: String,
        /// The one before it, which goes on until then.
        older: Option<ClientSecretShown>,
    }
    /// What is kept of a secret.
    ClientSecretShown { id: String, created: String, expires: String, used: Option<String>, state: String, }
    /// A public key of a client's.
    ClientKeyShown {
        /// Empty where the key has none.
        kid: String,
        /// RFC 7638.
        thumbprint: String,
    }
    /// A resource.
    ResourceShown {
        id: String, org: String, url: String, name: String, owner: String, environment: String, scopes: Vec<String>,
        server: Option<String>, state: String, created: String,
    }
    /// The provider that an org's people log in by.
    OrgLoginShown {
        org: String, issuer: String, client_id: String,
        /// `private_key_jwt` or `client_secret`.
        authentication: String,
        title: String, newcomers: bool,
        /// What is registered there as the redirect URI.
        redirect_uri: String,
        /// Where our public keys are, for a provider that we sign for.
        jwks_uri: String,
        created: String,
    }
    /// A host whose clients are known by a document of their own.
    DocumentsShown {
        org: String, host: String, owner: String, scopes: Vec<String>, environment: Option<String>, created: String,
    }
    /// What became of its clients.
    DocumentsForbidden { org: String, host: String, clients_cut: usize, }
    /// A trust.
    TrustShown {
        id: String, org: String, handle: String, client: String,
        /// Who answers for the client, and so for it.
        owner: String,
        environment: String, preset: String, issuer: String, audience: String, when: Vec<String>,
        /// `discovered`, an address, or `given`.
        keys: String,
        scopes: Vec<String>, longest: Lifetime, state: String, created: String,
        /// What is wrong with its rule, worst first.
        findings: Vec<Finding>,
    }
    /// An API key.
    KeyShown {
        id: String, org: String, handle: String, client: String, owner: String, environment: String,
        scopes: Vec<String>, resources: Vec<String>,
        /// Where it may come from; anywhere if empty.
        networks: Vec<String>,
        direct_until: Option<String>, direct_reason: Option<String>,
        exception_until: Option<String>, exception_reason: Option<String>,
        migrating_since: Option<String>,
        state: String,
        /// When the last of its secrets that is alive is over.
        ends: Option<String>,
        uses: u64, last_used: Option<String>,
        /// Oldest first: its line.
        secrets: Vec<KeySecretShown>,
        /// Whoever came last first.
        users: Vec<KeyUserShown>,
        created: String,
    }
    /// A secret of an API key; never the secret itself.
    KeySecretShown {
        id: String, succeeds: Option<String>, state: String, ends: String, uses: u64, last_used: Option<String>,
        created: String,
    }
    /// A user of an API key: network as seen, all else as claimed.
    KeyUserShown {
        secret: String,
        /// `exchange` or `direct`.
        way: String,
        network: Option<String>, machine: String, class: String, purpose: String, uses: u64,
        /// How many since its users began to be moved.
        uses_since: Option<u64>,
        first: String, last: String,
    }
    /// A secret that was just made.
    KeyMadeShown {
        key: KeyShown, secret: Revealed, secret_id: String, expires: String,
        /// Until when the one before is good.
        old_ends: Option<String>,
    }
    /// How far the users of an API key have moved.
    KeyMigration { key: KeyShown, moves: Vec<KeyMove>, }
    /// A user of an API key, and what they should have in its place.
    KeyMove {
        network: Option<String>, machine: String, class: String, purpose: String, way: String, uses_since: u64,
        last: String, pattern: String, because: String, but: Vec<String>, commands: Vec<String>,
    }
    /// How a token stands to the trusts of an org.
    TrustTested {
        /// Why none was looked at.
        nobody: Option<String>,
        trusts: Vec<TrustWeighed>,
    }
    /// How it stands to one of them.
    TrustWeighed {
        trust: String, lets_in: bool,
        /// What is wrong with the token itself.
        wrong: Option<String>,
        lines: Vec<Line>,
    }
    /// A device.
    DeviceShown { id: String, name: String, class: String, created: String, seen: String, }
    /// A session.
    SessionShown {
        id: String, client: String, device: Option<String>,
        /// The sort of machine, and where the key rests there, as its holder says.
        class: Option<String>, rung: Option<String>,
        purpose: Option<String>, scopes: Vec<String>,
        resources: Vec<String>, approval: String, created: String, used: String, expires: String,
    }
    /// A cut.
    CutMade {
        axis: String, id: String,
        /// False where it was dead already.
        anew: bool,
    }
    /// An answered device flow.
    Approved { approved: bool, person: String, client: String, }
    /// A backup that was made.
    BackupMade {
        file: String,
        /// A signed checkpoint over the ledger in it, to keep elsewhere.
        checkpoint: String,
    }
    /// An entry of the ledger.
    EntryShown {
        seq: u64, at: String, event: String, who: String, what: String, why: String,
        /// The entry itself, with its personal fields where they were not erased.
        entry: serde_json::Value,
    }
    /// A signed checkpoint (C2SP tlog-checkpoint) and the key that verifies it.
    CheckpointShown { note: String, size: u64, key: String, }
    /// A proof out of the ledger of so many entries, to be checked by its key alone.
    ProofShown { proof: String, size: u64, }
    /// What was erased about a person: of how many entries.
    PersonErased { org: String, handle: String, id: String, entries: u64, }
    /// Why a question was not answered.
    Problem { error: String, hint: Option<String>, }
}

/// A secret in the one answer that must carry it. Redacted in `Debug`, wiped on drop.
pub struct Revealed(Zeroizing<String>);

impl Revealed {
    /// Takes the text over.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The secret. SECURITY: for standard output or the file made for it, and nothing else.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<revealed secret>")
    }
}

impl Serialize for Revealed {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Revealed {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(|text| Self(Zeroizing::new(text)))
    }
}
