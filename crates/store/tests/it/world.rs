//! A store with an org in it, and short ways to do what tests do.

use std::sync::Arc;

use hallpass_model::device::{DeviceClaim, DeviceClass};
use hallpass_model::grant::{Acr, Amr, Approval, Authentication, Grant};
use hallpass_model::id::{ClientId, OrgId, PrincipalId, ResourceId};
use hallpass_model::jose::Thumbprint;
use hallpass_model::ledger::{Actor, Entry, Event, LedgerKey};
use hallpass_model::purpose::Purpose;
use hallpass_model::random::{Seeded, SystemEntropy};
use hallpass_model::secret::{AuthorizationCode, Secret};
use hallpass_model::session::{ProofOfKey, RefreshToken};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::oauth::Scopes;
use hallpass_model::wire::pkce::{CodeChallenge, code_verifier};
use hallpass_store::{
    AddOrg, AddResource, Change, CodeIssued, CodeRedeemed, Filter, IssueCode, KeyEncryptionKey, OpenError,
    Opened, Reach, RedeemCode, Redeemed, RefreshTokens, SigningKeyRow, Store, StoreKeys, StorePlace, Sweep,
    Wanted,
};
use tempfile::TempDir;

/// The moment at which tests begin.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
/// The API of every test.
pub(crate) const NOTES: &str = "https://notes.acme.example/";
/// Where codes are sent.
pub(crate) const REDIRECT: &str = "http://127.0.0.1:4711/callback";

/// A store with an org in it, whose administrator is Ada.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) org: OrgId,
    pub(crate) ada: PrincipalId,
    pub(crate) cli: ClientId,
    pub(crate) notes: ResourceId,
    pub(crate) now: Timestamp,
    pub(crate) folder: TempDir,
}

/// The keys every test store is made with.
pub(crate) fn keys() -> StoreKeys {
    StoreKeys {
        previous: None,
        kek: KeyEncryptionKey::from_bytes(&[7; 32]),
        ledger: LedgerKey::generate("store.test/ledger", &Seeded::new(7)).unwrap(),
    }
}

pub(crate) fn open(place: StorePlace) -> Result<Store, OpenError> {
    Store::open(place, keys(), Arc::new(SystemEntropy), START)
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace::new(folder.path().join("data"));
        Self::at(place, folder).await
    }

    pub(crate) async fn at(place: StorePlace, folder: TempDir) -> Self {
        let store = open(place).unwrap();
        let added = store.change(Actor::Operator, START, add_org("acme")).await.unwrap().unwrap();
        let cli = store.find_client_by_handle(added.org, "hallpass-cli").await.unwrap().unwrap().id;
        let resource = add_notes(added.org, added.administrator);
        let notes = store.change(Actor::Operator, START, resource).await.unwrap().unwrap();
        Self { store, org: added.org, ada: added.administrator, cli, notes, now: START, folder }
    }

    /// Runs a change, by nobody who has proved who they are.
    pub(crate) async fn change<C: Change>(&self, change: C) -> C::Outcome {
        self.store.change(Actor::Nobody, self.now, change).await.unwrap()
    }

    /// Time goes on.
    pub(crate) fn wait(&mut self, lifetime: Lifetime) {
        self.now = self.now + lifetime;
    }

    /// The same folder, opened anew, as after a crash.
    pub(crate) fn reopen(mut self) -> Self {
        let place = StorePlace::new(self.folder.path().join("data"));
        drop(self.store);
        self.store = open(place).unwrap();
        self
    }

    /// A code for Ada on `hallpass-cli`, and the challenge it answers.
    pub(crate) async fn issue_code(&self, issue: IssueCode) -> Secret<AuthorizationCode> {
        match self.change(issue).await {
            CodeIssued::Issued { code, .. } => code,
            refused => panic!("{refused:?}"),
        }
    }

    /// Ada logs in with `hallpass-cli` on her laptop; the session is bound to `key`, or to nothing.
    pub(crate) async fn log_in(&self, key: Option<Thumbprint>) -> Opened {
        let code = self.issue_code(self.code()).await;
        let proof = key.map(|key| self.proof(key));
        match self.change(RedeemCode { proof, ..self.redeem_code(code) }).await {
            CodeRedeemed::Opened(opened) => *opened,
            refused => panic!("{refused:?}"),
        }
    }

    pub(crate) fn code(&self) -> IssueCode {
        IssueCode {
            raises: None,
            org: self.org,
            client: self.cli,
            principal: self.ada,
            grant: grant(self.now),
            redirect_uri: REDIRECT.into(),
            code_challenge: CodeChallenge::of(&verifier()),
            nonce: Some("n-0S6".into()),
            dpop_jkt: None,
            device: Some(laptop()),
            address: "203.0.113.7".into(),
        }
    }

    pub(crate) fn redeem_code(&self, code: Secret<AuthorizationCode>) -> RedeemCode {
        RedeemCode {
            code,
            org: self.org,
            client: self.cli,
            redirect_uri: Some(REDIRECT.into()),
            code_verifier: verifier(),
            proof: None,
            refresh: RefreshTokens::Always,
            wanted: for_issuer(),
            address: Some("203.0.113.7".into()),
        }
    }

    /// What the holder sends to refresh.
    pub(crate) fn redeem(&self, token: &str, key: Option<Thumbprint>) -> hallpass_store::Redeem {
        hallpass_store::Redeem {
            token: RefreshToken::parse(token).unwrap(),
            org: self.org,
            client: self.cli,
            proof: key.map(|key| self.proof(key)),
            from: Some(1),
            address: Some("203.0.113.7".into()),
            wanted: for_issuer(),
            rung: None,
            class: None,
        }
    }

    /// A proof made now, to the second as the wire has it.
    pub(crate) fn proof(&self, key: Thumbprint) -> ProofOfKey {
        ProofOfKey { key, made: Timestamp::from_seconds(self.now.seconds()) }
    }

    /// Refreshes, and gives what came of it.
    pub(crate) async fn refresh(&self, token: &str, key: Option<Thumbprint>) -> Redeemed {
        self.change(self.redeem(token, key)).await
    }

    /// Sweeps, by a clock that has long gone evenly, until nothing is left to; says how much went.
    pub(crate) async fn sweep(&self) -> usize {
        let (mut removed, mut sweep) = (0, Sweep { after: None, steady: true });
        loop {
            let swept = self.change(sweep).await;
            removed += swept.removed;
            sweep.after = swept.after;
            if !swept.more {
                return removed;
            }
        }
    }

    /// Every entry of the ledger.
    pub(crate) async fn ledger(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        loop {
            let page = self.store.list_ledger(&Filter::default(), entries.len() as u64, 1_000).await.unwrap();
            entries.extend(page.items.iter().map(|row| row.entry().unwrap()));
            if !page.more {
                return entries;
            }
        }
    }

    /// How many entries of this kind there are.
    pub(crate) async fn count(&self, event: Event) -> usize {
        self.ledger().await.iter().filter(|entry| entry.event == event).count()
    }
}

pub(crate) fn add_org(name: &str) -> AddOrg {
    AddOrg {
        name: name.parse().unwrap(),
        title: "Acme".into(),
        administrator: ("ada".parse().unwrap(), "Ada Lovelace".into()),
        signing: SigningKeyRow { kid: "k1".into(), pkcs8: Secret::new(b"canary-signing-key".to_vec()) },
    }
}

pub(crate) fn add_notes(org: OrgId, owner: PrincipalId) -> AddResource {
    AddResource {
        org,
        url: NOTES.into(),
        name: "Notes".into(),
        owner: hallpass_model::principal::Owner::Person(owner),
        environment: "dev".parse().unwrap(),
        scopes: scopes("notes:read notes:write"),
        server: None,
    }
}

pub(crate) fn scopes(text: &str) -> Scopes {
    Scopes::parse(text).unwrap()
}

pub(crate) fn key(byte: u8) -> Thumbprint {
    Thumbprint::from_bytes([byte; 32])
}

pub(crate) fn laptop() -> DeviceClaim {
    DeviceClaim {
        install: "install-0001".into(),
        name: "ada-laptop".into(),
        class: DeviceClass::Laptop,
        rung: None,
    }
}

pub(crate) fn by_passkey(at: Timestamp) -> Authentication {
    Authentication { at, acr: Acr::PhishingResistant, amr: vec![Amr::Pop, Amr::User] }
}

pub(crate) fn grant(at: Timestamp) -> Grant {
    Grant {
        scopes: scopes("openid offline_access notes:read notes:write"),
        resources: vec![NOTES.into()],
        purpose: Purpose::parse("write the notes"),
        authentication: by_passkey(at),
        approval: Approval::Browser,
    }
}

pub(crate) fn for_issuer() -> Wanted {
    Wanted { reach: Reach::Issuer, ..Wanted::default() }
}

pub(crate) fn for_notes() -> Wanted {
    Wanted { reach: Reach::Resource(NOTES.into()), ..Wanted::default() }
}

/// The same one each time.
pub(crate) fn verifier() -> Secret<hallpass_model::secret::CodeVerifier> {
    code_verifier(&Seeded::new(3))
}

/// The text of a refresh token that there must be.
pub(crate) fn token(opened: &Opened) -> String {
    opened.refresh_token.as_ref().unwrap().expose_text().to_owned()
}

/// What a refresh must have given: the session advanced.
pub(crate) fn next(redeemed: Redeemed) -> Opened {
    match redeemed {
        Redeemed::Next(opened) => opened,
        other => panic!("not advanced: {other:?}"),
    }
}

/// What a refresh must have given: the same successor again.
pub(crate) fn again(redeemed: Redeemed) -> Opened {
    match redeemed {
        Redeemed::Again(opened, _) => opened,
        other => panic!("not given again: {other:?}"),
    }
}
