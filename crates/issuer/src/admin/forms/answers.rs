//! What is answered.

use hallpass_model::principal::{OrgLimits, Requirements};
use hallpass_model::time::Lifetime;
use hallpass_model::trust::{Finding, Line};
use serde::{Deserialize, Serialize};

use super::Revealed;
use crate::admin::shape::object;

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[allow(missing_docs, reason = "most names of members say what they are")]
        #[derive(Debug, Serialize, Deserialize)]
        pub struct $name { $($(#[$about])* pub $field: $type,)* }

        object!($name { $(#[$doc])* } open $($field: $type { $(#[$about])* })*);
    )*};
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
        id: String, org: String, handle: String, state: String, members: Vec<String>,
        /// `administrator`, `responder` or `auditor`.
        #[serde(default)]
        role: Option<String>,
        created: String,
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
    /// A thing that somebody answers for.
    OwnedShown {
        /// `client:HANDLE`, `resource:URL` or `key:HANDLE`.
        thing: String,
        owner: String, state: String,
    }
    /// A thing that was given another owner, or would be.
    OwnerShown {
        thing: String, from: String, to: String,
        /// `none`, as they answered for it already, `owner`, `owner, suspension lifted`, or, for a trust, `with its client`.
        change: String,
        /// The client that a trust goes with: `client:HANDLE`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<String>,
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
    /// What clients that register themselves may have.
    RegistrationShown {
        org: String,
        /// Where they do.
        endpoint: String,
        /// Who answers for them.
        owner: String,
        scopes: Vec<String>, environment: Option<String>, created: String,
        /// How many clients more the newest token registers, and until when; nothing where none is good.
        uses: Option<u32>, expires: Option<String>,
        /// Those in use, the oldest first.
        clients: Vec<RegisteredShown>,
    }
    /// A client that registered itself.
    RegisteredShown {
        /// Its `client_id`.
        handle: String,
        /// As it calls itself.
        name: String,
        created: String,
    }
    /// What there is once clients may not register themselves any more.
    RegistrationForbidden {
        org: String,
        /// How many that did stay in use.
        clients_left: usize,
    }
    /// A token to register clients with: the one time that it is shown.
    RegistrationTokenMade { org: String, endpoint: String, id: String, token: Revealed, uses: u32, expires: String, }
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
        network: Option<String>, machine: String, class: String, purpose: String, way: String,
        #[serde(default)]
        uses: u64,
        /// How many since its users began to be moved.
        uses_since: Option<u64>,
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
    /// An agent of a person's.
    AgentShown {
        id: String, name: String, kind: String, scopes: Vec<String>,
        /// How long a run of it lasts at most.
        longest: Lifetime,
        state: String, created: String,
    }
    /// A run of an agent's.
    RunShown {
        id: String, agent: String, purpose: String, scopes: Vec<String>,
        /// The APIs it had passes for.
        resources: Vec<String>,
        session: String,
        /// The run that started it, if one did.
        above: Option<String>,
        /// What of its budget it has used up, so that it waits for its person.
        waits: Option<String>,
        created: String, seen: String, expires: String,
    }
    /// What ended: of how many runs, those included that others started.
    RunsEnded { runs: usize, }
    /// What came of what.
    LineageShown {
        /// What was asked about.
        of: String,
        /// Each after what it came of.
        nodes: Vec<LineageNode>,
        /// Whether there is more than is shown.
        more: bool,
    }
    /// Somebody or something in a lineage.
    LineageNode {
        id: String,
        /// What it came of; nothing for the first.
        above: Option<String>,
        /// `person`, `device`, `session`, `run` or `pass`; `client`, `key`, `secret` or `trust`.
        sort: String,
        name: String,
        /// What else is to be said of it: a purpose, a sort of machine.
        about: String,
        /// `alive`, `cut` or `over`.
        state: String,
        /// Why it was cut.
        why: Option<String>,
        /// When it ends by itself.
        ends: Option<String>,
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
    /// Entries of the ledger, the newest first.
    LedgerPage {
        entries: Vec<EntryShown>,
        /// Before which entry there may be more; nothing where there is none. There may be though none is here.
        next: Option<u64>,
    }
    /// Something that an owner is told.
    NoticeShown {
        read: bool,
        entry: EntryShown,
    }
    /// What was read.
    NoticesReadShown { upto: u64, }
    /// A signed checkpoint (C2SP tlog-checkpoint) and the key that verifies it.
    CheckpointShown { note: String, size: u64, key: String, }
    /// A proof out of the ledger of so many entries, to be checked by its key alone.
    ProofShown { proof: String, size: u64, }
    /// What was erased about a person: of how many entries.
    PersonErased { org: String, handle: String, id: String, entries: u64, }
    /// Why a question was not answered.
    Problem { error: String, hint: Option<String>, }
}
