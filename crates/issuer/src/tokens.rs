//! Access tokens (RFC 9068) and ID tokens (OIDC Core) of ours: minted, and read back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hallpass_model::agent::Acting;
use hallpass_model::client::Client;
use hallpass_model::cut::{Place, Stamp};
use hallpass_model::grant::Authentication;
use hallpass_model::id::{ClientId, CredentialId, DeviceId, OrgId, SessionId};
use hallpass_model::jose::{BadToken, Thumbprint, Typ};
use hallpass_model::lifetimes;
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{AccessToken, IdToken, Secret};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::verifier;
use hallpass_model::wire::claims::{AccessClaims, Act, Audience, Cnf};
use hallpass_model::wire::id_token::{IdClaims, at_hash};
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::StoreError;

use crate::minted::hash_of;
use crate::org::OrgIssuer;
use crate::{Issuer, limits};

/// What a new access token says.
pub(crate) struct NewAccessToken<'a> {
    /// `prn_...`, or `cli_...` where a client acts for itself.
    pub(crate) subject: String,
    /// To whom it is issued.
    pub(crate) client: &'a Client,
    /// The one resource it is for, or the issuer itself.
    pub(crate) audience: String,
    /// What it allows there.
    pub(crate) scope: Scopes,
    /// Its own id.
    pub(crate) credential: CredentialId,
    /// Its place in the order of issuances and cuts.
    pub(crate) stamp: Stamp,
    /// When it is over.
    pub(crate) expires: Timestamp,
    /// The session it came of.
    pub(crate) session: Option<SessionId>,
    /// The machine it lives on.
    pub(crate) device: Option<DeviceId>,
    /// How the person proved who they are.
    pub(crate) authentication: Option<&'a Authentication>,
    /// The key it is bound to.
    pub(crate) key: Option<Thumbprint>,
    /// Why.
    pub(crate) purpose: Option<&'a Purpose>,
    /// Its ancestors that stand in no other claim.
    pub(crate) lineage: Vec<CredentialId>,
    /// Who acts for the subject, and who started them: the outermost first.
    pub(crate) acting: Vec<Acting>,
}

impl NewAccessToken<'_> {
    /// Signs it.
    pub(crate) fn mint(self, issuer: &Issuer, org: &OrgIssuer, now: Timestamp) -> Secret<AccessToken> {
        let claims = AccessClaims {
            iss: org.issuer.clone(),
            sub: self.subject,
            aud: Audience::one(self.audience),
            client_id: self.client.client_id().to_owned(),
            iat: now.seconds(),
            exp: self.expires.seconds(),
            nbf: None,
            jti: self.credential.to_string(),
            scope: self.scope,
            sid: self.session.map(|id| id.to_string()),
            auth_time: self.authentication.map(|a| a.at.seconds()),
            acr: self.authentication.map(|a| a.acr.text().to_owned()),
            amr: self.authentication.map(amr).unwrap_or_default(),
            cnf: self.key.map(Cnf::jkt),
            act: act(&self.acting),
            purpose: self.purpose.map(|purpose| purpose.as_str().to_owned()),
            dev: self.device.map(|id| id.to_string()),
            ist: Some(self.stamp.0),
            lin: self.lineage.iter().map(CredentialId::to_string).collect(),
        };
        let token = org.keys.signing.sign(Typ::AccessToken, &claims);
        issuer.minted.note(&token);
        Secret::from_text(token)
    }
}

/// The `act` claim (RFC 8693, section 4.1): the outermost acts, and holds those before it.
fn act(chain: &[Acting]) -> Option<Act> {
    chain.iter().rev().fold(None, |before, acting| {
        Some(Act {
            sub: acting.agent.to_string(),
            iss: None,
            client_id: None,
            run: Some(acting.run.to_string()),
            act: before.map(Box::new),
        })
    })
}

/// What a new ID token says besides who issued it and when.
pub(crate) struct NewIdToken<'a> {
    /// `prn_...`.
    pub(crate) subject: String,
    /// For whom.
    pub(crate) client: &'a Client,
    /// What the request sent along to be given back.
    pub(crate) nonce: Option<String>,
    /// How the person proved who they are.
    pub(crate) authentication: &'a Authentication,
    /// The access token it comes with.
    pub(crate) access_token: &'a Secret<AccessToken>,
    /// The session.
    pub(crate) session: SessionId,
}

impl NewIdToken<'_> {
    /// Signs it.
    pub(crate) fn mint(self, org: &OrgIssuer, now: Timestamp) -> Secret<IdToken> {
        let claims = IdClaims {
            iss: org.issuer.clone(),
            sub: self.subject,
            aud: Audience::one(self.client.client_id()),
            exp: (now + lifetimes::ID_TOKEN).seconds(),
            iat: now.seconds(),
            nonce: self.nonce,
            auth_time: Some(self.authentication.at.seconds()),
            acr: Some(self.authentication.acr.text().to_owned()),
            amr: amr(self.authentication),
            azp: None,
            at_hash: Some(at_hash(self.access_token.expose_text())),
            sid: Some(self.session.to_string()),
        };
        Secret::from_text(org.keys.signing.sign(Typ::IdToken, &claims))
    }
}

fn amr(authentication: &Authentication) -> Vec<String> {
    authentication.amr.iter().map(|amr| amr.text().to_owned()).collect()
}

/// An access token of ours, its signature checked, and where it stands on the axes of cuts.
pub(crate) struct OwnToken {
    /// What it says.
    pub(crate) claims: AccessClaims,
    /// Where it stands.
    pub(crate) place: Place,
    /// The org as it was when it was read, with its keys.
    org: Arc<OrgIssuer>,
}

/// Why a text is not an access token of this org, alive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOurs {
    /// By what it says or how it is signed.
    #[error("not an access token of this org, alive")]
    Bad(#[from] BadToken),
    /// It is signed by us and says something we never say.
    #[error("an access token whose claims are not the issuer's own")]
    Claims,
}

impl Issuer {
    /// Reads an access token of this org that has not expired. Does **not** know of cuts, audience or binding.
    ///
    /// `Err` is the store's own failure, and nobody's fault: it says nothing of the token, and must not be answered as if
    /// it did, for a holder that is told "log in again" does.
    pub(crate) async fn own_token(
        &self,
        org: &Arc<OrgIssuer>,
        text: &str,
        now: Timestamp,
    ) -> Result<Result<Arc<OwnToken>, NotOurs>, StoreError> {
        let hash = hash_of(text);
        // Checked by these very keys: one that was taken away since then counts no more.
        let known = self.verified.find(&hash).filter(|token| Arc::ptr_eq(&token.org, org));
        if let Some(token) = known {
            let alive = now < token.claims.expires();
            return Ok(if alive { Ok(token) } else { Err(BadToken::Expired.into()) });
        }
        let read = if self.minted.knows(&hash) { verifier::read_known } else { verifier::read };
        let claims = match read(text, &org.keys.published, &org.issuer, now, Lifetime::seconds(0)) {
            Ok(claims) => claims,
            Err(bad) => return Ok(Err(bad.into())),
        };
        let client = self.store.find_client_by_client_id(org.id(), &claims.client_id).await?;
        let place = client.and_then(|client| place(org.id(), client.id, &claims));
        let Some(place) = place else { return Ok(Err(NotOurs::Claims)) };
        let token = Arc::new(OwnToken { claims, place, org: org.clone() });
        self.verified.keep(hash, token.clone());
        Ok(Ok(token))
    }
}

/// Where a token of ours stands, which was issued to this client; `None` if it says what we never say.
fn place(org: OrgId, client: ClientId, claims: &AccessClaims) -> Option<Place> {
    let principal = claims.principal_id();
    // A client's own token: its subject is the client's id, which is no principal's.
    if principal.is_none() && claims.sub != client.to_string() {
        return None;
    }
    let mut credentials = claims.ancestors()?;
    credentials.insert(0, claims.credential_id()?);
    // Only the outermost acts; those before it are history (RFC 8693, section 4.1).
    let acting = match &claims.act {
        Some(act) => Some(act.acting()?),
        None => None,
    };
    Some(Place {
        org,
        principal,
        client,
        device: claims.device_id(),
        session: claims.session_id(),
        credentials,
        acting,
        stamp: Stamp(claims.ist?),
    })
}

/// Access tokens whose signature was checked, by the hash of their text, so that a verifier that asks again about
/// the same token costs no signature check. Whether a token was cut is never remembered here.
#[derive(Default)]
pub(crate) struct Verified(Mutex<Halves>);

/// Two halves: when the young one is full it becomes the old one, and what is used moves back.
#[derive(Default)]
struct Halves {
    young: HashMap<[u8; 32], Arc<OwnToken>>,
    old: HashMap<[u8; 32], Arc<OwnToken>>,
}

impl Verified {
    fn find(&self, hash: &[u8; 32]) -> Option<Arc<OwnToken>> {
        let mut halves = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(token) = halves.young.get(hash) {
            return Some(token.clone());
        }
        let token = halves.old.remove(hash)?;
        halves.keep(*hash, token.clone());
        Some(token)
    }

    fn keep(&self, hash: [u8; 32], token: Arc<OwnToken>) {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).keep(hash, token);
    }
}

impl Halves {
    fn keep(&mut self, hash: [u8; 32], token: Arc<OwnToken>) {
        if self.young.len() >= limits::VERIFIED_TOKENS_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, token);
    }
}
