//! Authorization requests that wait for a login, and the codes they end in.

use hallpass_model::cut::{Place, Stamp, Target, Why};
use hallpass_model::device::DeviceClaim;
use hallpass_model::grant::{Approval, Grant};
use hallpass_model::id::{ClientId, CredentialId, OrgId, PrincipalId, SessionId};
use hallpass_model::jose::Thumbprint;
use hallpass_model::ledger::{Actor, Detail, Entry, Event, Field, Key};
use hallpass_model::lifetimes::{ACCESS_TOKEN_MAX, AUTHORIZATION_CODE, AUTHORIZE_REQUEST, PUSHED_REQUEST};
use hallpass_model::raise::{NotRaised, Raise};
use hallpass_model::secret::{AuthorizationCode, CodeVerifier, Fingerprint, Secret, WebCookie};
use hallpass_model::session::{ProofOfKey, Refusal};
use hallpass_model::spelling::Prefix;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::pkce::CodeChallenge;
use rusqlite::Row;

use crate::change::{Change, Tx};
use crate::cuts::{cut_recording, is_dead};
use crate::error::StoreError;
use crate::open::Store;
use crate::raise::{self, Raising, Unraised};
use crate::reach::{OutOfGrant, Wanted, reach};
use crate::refusals::{RefusedSubject, refuse};
use crate::sessions::{Opened, Opening, RefreshTokens, known_device, may_issue, open_session};
use crate::sql::{Columns, Sql, json};
use crate::step_up::Proved;

/// Keeps an authorization request while its person logs in. Not recorded, as nothing happened yet.
#[derive(Debug, Clone)]
pub struct SaveRequest {
    /// Where.
    pub org: OrgId,
    /// From whom.
    pub client: ClientId,
    /// The request, as the issuer writes it.
    pub request: String,
}

impl Change for SaveRequest {
    /// The handle it is found by.
    type Outcome = Secret<WebCookie>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let (handle, fingerprint) = tx.new_secret::<WebCookie>(Prefix::Web);
        tx.db().run(
            "INSERT INTO requests (fingerprint, org, client, request, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                &fingerprint.0,
                self.org.bytes(),
                self.client.bytes(),
                &self.request,
                (tx.now + AUTHORIZE_REQUEST).millis(),
            ),
        )?;
        Ok(handle)
    }
}

/// Keeps a request that its client sent ahead (RFC 9126), for one use. Not recorded, as nothing happened yet.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// Where.
    pub org: OrgId,
    /// From whom.
    pub client: ClientId,
    /// The request, as the issuer writes it.
    pub request: String,
}

impl Change for PushRequest {
    /// The handle it is taken by.
    type Outcome = Secret<WebCookie>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let (handle, fingerprint) = tx.new_secret::<WebCookie>(Prefix::Web);
        tx.db().run(
            "INSERT INTO pushed_requests (fingerprint, org, client, request, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                &fingerprint.0,
                self.org.bytes(),
                self.client.bytes(),
                &self.request,
                (tx.now + PUSHED_REQUEST).millis(),
            ),
        )?;
        Ok(handle)
    }
}

/// Takes a request that was sent ahead, once, and keeps it as one whose person logs in.
#[derive(Debug)]
pub struct TakePushed {
    /// Its handle.
    pub handle: Secret<WebCookie>,
    /// Where.
    pub org: OrgId,
    /// Who must have sent it.
    pub client: ClientId,
}

impl Change for TakePushed {
    /// The handle it is found by from now on; `None` if there is none of this client's, or it is over.
    type Outcome = Option<Secret<WebCookie>>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        // SECURITY: another's attempt takes nothing away.
        let taken = tx.db().one(
            "DELETE FROM pushed_requests WHERE fingerprint = ?1 AND org = ?2 AND client = ?3 AND expires > ?4 \
             RETURNING client, request",
            (
                &tx.keys().fingerprint(&self.handle).0,
                self.org.bytes(),
                self.client.bytes(),
                tx.now.millis(),
            ),
            read_request,
        )?;
        match taken {
            Some(SavedRequest { client, request }) => {
                SaveRequest { org: self.org, client, request }.apply(tx).map(Some)
            }
            None => Ok(None),
        }
    }
}

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedRequest {
    /// From whom.
    pub client: ClientId,
    /// The request, as the issuer wrote it.
    pub request: String,
}

impl Store {
    /// The request of this handle at this org, for a page that shows it.
    pub async fn find_request(
        &self,
        handle: &Secret<WebCookie>,
        org: OrgId,
        now: Timestamp,
    ) -> Result<Option<SavedRequest>, StoreError> {
        self.read(|db| {
            db.one(
                "SELECT client, request FROM requests WHERE fingerprint = ?1 AND org = ?2 AND expires > ?3",
                (&self.inner.keys.fingerprint(handle).0, org.bytes(), now.millis()),
                read_request,
            )
        })
    }
}

/// Takes a request, to answer it. It can be taken once.
#[derive(Debug)]
pub struct TakeRequest {
    /// Its handle.
    pub handle: Secret<WebCookie>,
    /// Where.
    pub org: OrgId,
}

impl Change for TakeRequest {
    type Outcome = Option<SavedRequest>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        tx.db().one(
            "DELETE FROM requests WHERE fingerprint = ?1 AND org = ?2 AND expires > ?3 RETURNING client, request",
            (&tx.keys().fingerprint(&self.handle).0, self.org.bytes(), tx.now.millis()),
            read_request,
        )
    }
}

fn read_request(row: &Row<'_>) -> rusqlite::Result<SavedRequest> {
    Ok(SavedRequest { client: row.id(0)?, request: row.text(1)? })
}

/// Issues a code: a person said yes in their browser.
#[derive(Debug, Clone)]
pub struct IssueCode {
    /// Where.
    pub org: OrgId,
    /// To whom.
    pub client: ClientId,
    /// Who said yes.
    pub principal: PrincipalId,
    /// To what.
    pub grant: Grant,
    /// Where the code is sent.
    pub redirect_uri: String,
    /// What whoever redeems it must answer.
    pub code_challenge: CodeChallenge,
    /// For the ID token.
    pub nonce: Option<String>,
    /// The key whoever redeems it must prove (RFC 9449, section 10).
    pub dpop_jkt: Option<Thumbprint>,
    /// As the holder described its machine.
    pub device: Option<DeviceClaim>,
    /// The session that it is to raise, where it is to open none (RFC 9470).
    pub raises: Option<SessionId>,
    /// The browser's address, for the personal side of the record.
    pub address: String,
}

/// What came of asking for a code.
#[derive(Debug)]
pub enum CodeIssued {
    /// It is issued.
    Issued {
        /// The code, shown this once.
        code: Secret<AuthorizationCode>,
        /// Its id.
        credential: CredentialId,
    },
    /// The org, person or client was disabled meanwhile, or they are not of this org.
    Refused(Refusal),
    /// The session that it was to raise may not be raised so.
    NotRaised(NotRaised),
}

impl Change for IssueCode {
    type Outcome = CodeIssued;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        if let Err(refusal) = may_issue(tx.db(), self.org, self.principal, self.client)? {
            let subject = RefusedSubject {
                principal: Some(self.principal),
                client: Some(self.client),
                ..RefusedSubject::org(self.org)
            };
            refuse(tx, &subject, crate::redeem::rule(refusal))?;
            return Ok(CodeIssued::Refused(refusal));
        }
        if let Some(session) = self.raises {
            let by = Raise {
                org: self.org,
                client: self.client,
                principal: self.principal,
                authentication: &self.grant.authentication,
            };
            if let Err(why) = raise::judge(tx, session, &by)? {
                return Ok(CodeIssued::NotRaised(why));
            }
        }
        let (code, fingerprint) = tx.new_secret::<AuthorizationCode>(Prefix::Code);
        let credential = CredentialId::new(tx.now, tx.entropy());
        let stamp = tx.issue_stamp();
        let expires = tx.now + AUTHORIZATION_CODE;
        tx.db().run(
            "INSERT INTO codes (fingerprint, credential, org, client, principal, permitted, redirect_uri, challenge, \
             nonce, jkt, device, stamp, expires, keep_until, raises) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14)",
            (
                &fingerprint.0,
                credential.bytes(),
                self.org.bytes(),
                self.client.bytes(),
                self.principal.bytes(),
                json(&self.grant),
                &self.redirect_uri,
                self.code_challenge.bytes(),
                &self.nonce,
                self.dpop_jkt.as_ref().map(Thumbprint::bytes),
                self.device.as_ref().map(json),
                stamp.0,
                expires.millis(),
                self.raises.as_ref().map(SessionId::bytes),
            ),
        )?;
        crate::documents::agreed(tx, self.client)?;
        let entry = Entry {
            org: Some(self.org),
            principal: Some(self.principal),
            client: Some(self.client),
            session: self.raises,
            credential: Some(credential),
            detail: approved(&self.grant, "browser"),
            ..tx.entry(Event::Approved)
        };
        record_approval(tx, entry, &self.grant, self.device.as_ref(), &self.address);
        Ok(CodeIssued::Issued { code, credential })
    }
}

/// The details of an approval: to what, and how strongly it was said.
pub(crate) fn approved(grant: &Grant, flow: &'static str) -> Detail {
    let flow = if grant.approval == Approval::AdminSocket { "local" } else { flow };
    Detail::new()
        .with(Key::FLOW, flow)
        .with(Key::SCOPE, grant.scopes.to_string())
        .with(Key::URL, grant.resources.join(" "))
        .with(Key::ACR, grant.authentication.acr.text())
}

/// Records an approval, with what was claimed and seen on the personal side.
pub(crate) fn record_approval(
    tx: &mut Tx<'_>,
    entry: Entry,
    grant: &Grant,
    device: Option<&DeviceClaim>,
    address: &str,
) {
    tx.record_personal(
        entry,
        &[
            (Field::Address, address),
            (Field::Machine, device.map_or("", |claim| &claim.name)),
            (Field::Purpose, grant.purpose.as_ref().map_or("", |purpose| purpose.as_str())),
        ],
    );
}

/// Trades a code for a session.
#[derive(Debug)]
pub struct RedeemCode {
    /// The code.
    pub code: Secret<AuthorizationCode>,
    /// The org at whose endpoint it was presented.
    pub org: OrgId,
    /// The client that presented it.
    pub client: ClientId,
    /// Where it says the code was sent, if it says so: RFC 6749 asks for that (section 4.1.3), OAuth 2.1 does not.
    pub redirect_uri: Option<String>,
    /// What answers the challenge.
    pub code_verifier: Secret<CodeVerifier>,
    /// The DPoP proof that came with it, if one did and it was valid.
    pub proof: Option<ProofOfKey>,
    /// Whether there is to be a refresh token.
    pub refresh: RefreshTokens,
    /// What the access token is for.
    pub wanted: Wanted,
    /// The address it came from, for the personal side of the record.
    pub address: Option<String>,
}

/// What came of redeeming a code.
#[derive(Debug)]
pub enum CodeRedeemed {
    /// The session it became.
    Opened(Box<Opened>),
    /// Nothing.
    Refused(CodeRefusal),
}

/// Why a code was refused. But for a replay, nothing was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CodeRefusal {
    /// Never issued, or so long over that it is forgotten. It names nobody, so it is counted and not recorded.
    #[error("the code is unknown")]
    Unknown,
    /// Its time is over.
    #[error("the code is over")]
    Over,
    /// Issued to another client, or by another org.
    #[error("the code was issued to another client")]
    OtherClient,
    /// Sent elsewhere (RFC 6749, section 4.1.3).
    #[error("the redirect URI is not the one the code was sent to")]
    RedirectUri,
    /// The code verifier does not answer the challenge (RFC 7636, section 4.6).
    #[error("the code verifier does not match the code challenge")]
    CodeVerifier,
    /// It is bound to a key, and no proof by it came (RFC 9449, section 10).
    #[error("the code is bound to a key, and no proof of it came")]
    Proof,
    /// It was redeemed before. What it became is cut (RFC 6749, section 4.1.2).
    #[error("the code was used before: what came of it is revoked")]
    Replayed,
    /// Its org, person or client was disabled or cut since.
    #[error("the login was revoked")]
    Revoked,
    /// Not for that resource or scope.
    #[error(transparent)]
    OutOfGrant(#[from] OutOfGrant),
    /// The session that it was to raise may not be raised so.
    #[error(transparent)]
    NotRaised(#[from] NotRaised),
}

/// A code's row.
struct Code {
    credential: CredentialId,
    org: OrgId,
    client: ClientId,
    principal: PrincipalId,
    grant: Grant,
    redirect_uri: String,
    challenge: CodeChallenge,
    nonce: Option<String>,
    jkt: Option<Thumbprint>,
    device: Option<DeviceClaim>,
    stamp: Stamp,
    expires: Timestamp,
    session: Option<SessionId>,
    raises: Option<SessionId>,
}

impl Change for RedeemCode {
    type Outcome = CodeRedeemed;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let fingerprint = tx.keys().fingerprint(&self.code);
        let code = tx.db().one(
            "SELECT credential, org, client, principal, permitted, redirect_uri, challenge, nonce, jkt, device, stamp, \
             expires, session, raises FROM codes WHERE fingerprint = ?1",
            [&fingerprint.0],
            read_code,
        )?;
        let Some(code) = code else { return Ok(CodeRedeemed::Refused(CodeRefusal::Unknown)) };
        tx.acts(Actor::Principal(code.principal));
        if let Some(why) = self.judge(tx, &code)? {
            refuse(tx, &subject(&code), code_rule(why))?;
            return Ok(CodeRedeemed::Refused(why));
        }
        let limits = match may_issue(tx.db(), code.org, code.principal, code.client)? {
            Ok(limits) => limits,
            Err(refusal) => {
                refuse(tx, &subject(&code), crate::redeem::rule(refusal))?;
                return Ok(CodeRedeemed::Refused(CodeRefusal::Revoked));
            }
        };
        if let Some(session) = code.raises {
            return self.raise(tx, &fingerprint, code, session);
        }
        let (reached, scopes) = match reach(
            tx.db(),
            code.org,
            &code.grant.scopes,
            &code.grant.resources,
            &self.wanted,
            Proved { client: code.client, authentication: Some(&code.grant.authentication), now: tx.now },
        )? {
            Ok(within) => within,
            Err(why) => {
                refuse(tx, &subject(&code), why.rule())?;
                return Ok(CodeRedeemed::Refused(why.into()));
            }
        };
        let opened = open_session(
            tx,
            Opening {
                org: code.org,
                principal: code.principal,
                client: code.client,
                device: code.device,
                grant: code.grant,
                key: self.proof.map(|proof| proof.key),
                origin: code.credential,
                refresh: self.refresh,
                limits,
                reached,
                scopes,
                lifetime: self.wanted.lifetime,
                address: self.address,
                flow: "browser",
                nonce: code.nonce,
            },
        )?;
        // A spent code is remembered for as long as what it became could do harm unseen.
        tx.db().run(
            "UPDATE codes SET session = ?2, keep_until = ?3 WHERE fingerprint = ?1",
            (&fingerprint.0, opened.session.id.bytes(), (tx.now + ACCESS_TOKEN_MAX).millis()),
        )?;
        Ok(CodeRedeemed::Opened(Box::new(opened)))
    }
}

impl RedeemCode {
    fn raise(
        self,
        tx: &mut Tx<'_>,
        fingerprint: &Fingerprint,
        code: Code,
        session: SessionId,
    ) -> Result<CodeRedeemed, StoreError> {
        let raising = Raising {
            session,
            org: code.org,
            client: code.client,
            principal: code.principal,
            authentication: code.grant.authentication,
            approval: code.grant.approval,
            key: self.proof.map(|proof| proof.key),
            origin: code.credential,
            wanted: self.wanted,
            address: self.address,
            flow: "browser",
            nonce: code.nonce,
        };
        Ok(match raise::raise(tx, raising)? {
            Ok(opened) => {
                tx.db().run(
                    "UPDATE codes SET session = ?2, keep_until = ?3 WHERE fingerprint = ?1",
                    (&fingerprint.0, session.bytes(), (tx.now + ACCESS_TOKEN_MAX).millis()),
                )?;
                CodeRedeemed::Opened(Box::new(opened))
            }
            Err(Unraised::NotRaised(why)) => CodeRedeemed::Refused(why.into()),
            Err(Unraised::OutOfGrant(why)) => CodeRedeemed::Refused(why.into()),
        })
    }

    /// Why this may not be redeemed. A replay cuts what the first redemption made.
    fn judge(&self, tx: &mut Tx<'_>, code: &Code) -> Result<Option<CodeRefusal>, StoreError> {
        if code.org != self.org || code.client != self.client {
            return Ok(Some(CodeRefusal::OtherClient));
        }
        // SECURITY: whoever cannot answer the challenge has seen the redirect and no more: they must not be able to
        // end the session of whoever can.
        if code.challenge.answered_by(&self.code_verifier).is_err() {
            return Ok(Some(CodeRefusal::CodeVerifier));
        }
        // SECURITY: what a code raised was there before, and its key was proved: a replay ends nothing of it, and gets nothing.
        if code.session.is_some() && code.raises.is_some() {
            return Ok(Some(CodeRefusal::Replayed));
        }
        if let Some(session) = code.session {
            let entry = Entry {
                org: Some(code.org),
                principal: Some(code.principal),
                client: Some(code.client),
                session: Some(session),
                credential: Some(code.credential),
                detail: Detail::new().with(Key::AXIS, "session").with(Key::REASON, Why::CodeReplayed.text()),
                ..tx.entry(Event::Cut)
            };
            cut_recording(tx, Target::Session(session), Why::CodeReplayed, entry)?;
            return Ok(Some(CodeRefusal::Replayed));
        }
        if tx.now >= code.expires {
            return Ok(Some(CodeRefusal::Over));
        }
        if self.redirect_uri.as_ref().is_some_and(|uri| *uri != code.redirect_uri) {
            return Ok(Some(CodeRefusal::RedirectUri));
        }
        if code.jkt.is_some_and(|key| self.proof.is_none_or(|proof| proof.key != key)) {
            return Ok(Some(CodeRefusal::Proof));
        }
        let place = Place {
            org: code.org,
            principal: Some(code.principal),
            client: code.client,
            device: known_device(tx.db(), code.principal, code.device.as_ref())?,
            session: None,
            credentials: vec![code.credential],
            acting: None,
            stamp: code.stamp,
        };
        Ok(is_dead(tx.db(), &place)?.map(|_| CodeRefusal::Revoked))
    }
}

fn subject(code: &Code) -> RefusedSubject {
    RefusedSubject {
        org: code.org,
        principal: Some(code.principal),
        client: Some(code.client),
        device: None,
        session: code.session,
        acting: None,
    }
}

fn code_rule(why: CodeRefusal) -> &'static str {
    match why {
        CodeRefusal::Unknown => "code_unknown",
        CodeRefusal::Over => "code_over",
        CodeRefusal::OtherClient => "code_of_other_client",
        CodeRefusal::RedirectUri => "code_redirect_uri",
        CodeRefusal::CodeVerifier => "code_verifier",
        CodeRefusal::Proof => "code_proof",
        CodeRefusal::Replayed => "code_replayed",
        CodeRefusal::Revoked => "code_revoked",
        CodeRefusal::OutOfGrant(why) => why.rule(),
        CodeRefusal::NotRaised(why) => raise::rule(why),
    }
}

fn read_code(row: &Row<'_>) -> rusqlite::Result<Code> {
    Ok(Code {
        credential: row.id(0)?,
        org: row.id(1)?,
        client: row.id(2)?,
        principal: row.id(3)?,
        grant: row.json(4)?,
        redirect_uri: row.text(5)?,
        challenge: row.get(6).map(CodeChallenge::from_bytes)?,
        nonce: row.get(7)?,
        jkt: row.get::<_, Option<[u8; 32]>>(8)?.map(Thumbprint::from_bytes),
        device: row.maybe_json(9)?,
        stamp: row.stamp(10)?,
        expires: row.time(11)?,
        session: row.maybe_id(12)?,
        raises: row.maybe_id(13)?,
    })
}
