//! Token exchange (RFC 8693): a narrower token from one for the issuer itself. Never wider, never longer than its session.

use hallpass_model::agent::{Acting, CHAIN_MAX};
use hallpass_model::cut::{Place, Stamp, Why};
use hallpass_model::id::{ClientId, CredentialId, LeaseId, OrgId};
use hallpass_model::ledger::{Actor, Detail, Entry, Event, Field, Key};
use hallpass_model::purpose::Purpose;
use hallpass_model::session::{Binding, ProofOfKey, Refusal, Session};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;

use crate::change::{Change, Tx};
use crate::cuts::is_dead;
use crate::error::StoreError;
use crate::leases::open_lease;
use crate::reach::{OutOfGrant, Reach, Reached, Wanted, reach};
use crate::refusals::{RefusedSubject, refuse};
use crate::runs::{self, ActingFor, Entered, RunRefusal};
use crate::sessions::{about, is_session_dead, load};
use crate::sql::Sql;
use crate::step_up::Proved;

/// Makes a narrower token from another.
///
/// The caller has verified the subject token, that it is for the issuer, and that whoever sent it holds its key.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The token it is made from.
    pub subject: Subject,
    /// The org at whose endpoint it was presented.
    pub org: OrgId,
    /// The client that presented it.
    pub client: ClientId,
    /// The DPoP proof that came with it, if one did and it was valid.
    pub proof: Option<ProofOfKey>,
    /// What the new token is for.
    pub wanted: Wanted,
    /// Why, as claimed.
    pub purpose: Option<Purpose>,
    /// Whether it is handed to one run, and ends with it.
    pub lease: bool,
    /// The agent's run that it is for, where it is not for the person alone.
    pub acting: Option<ActingFor>,
    /// The address it came from, for the personal side of the record.
    pub address: Option<String>,
}

/// What a verified access token says that an exchange needs.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its place on every axis; `credentials` holds its own id first, then its ancestors.
    pub place: Place,
    /// What it may do.
    pub scopes: Scopes,
}

/// What an exchange came to.
#[derive(Debug)]
pub enum Exchanged {
    /// A new token.
    Issued(Box<Narrowed>),
    /// Nothing.
    Refused(ExchangeRefusal),
}

/// A token made from another.
#[derive(Debug)]
pub struct Narrowed {
    /// Its id.
    pub credential: CredentialId,
    /// Its issue stamp.
    pub stamp: Stamp,
    /// Its ancestors that stand in no other claim: the subject first, then the subject's own.
    pub lin: Vec<CredentialId>,
    /// Whom it is for.
    pub reached: Reached,
    /// What it may do.
    pub scopes: Scopes,
    /// When it ends: never after the session.
    pub expires: Timestamp,
    /// The session it hangs on, for `auth_time`, `acr` and `amr`.
    pub session: Session,
    /// The lease it is under, if one was asked for.
    pub lease: Option<LeaseId>,
    /// Who acts, and who started them: the outermost first. Nobody, where it is the person alone.
    pub acting: Vec<Acting>,
}

/// Why an exchange was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ExchangeRefusal {
    /// The subject, or its session, is over, cut, disabled, or was issued to another client or by another org.
    #[error(transparent)]
    Session(#[from] Refusal),
    /// It, or something above it, was cut.
    #[error("the token was revoked")]
    Cut(Why),
    /// It came of no login, so there is nothing it could be narrowed from.
    #[error("the token belongs to no session")]
    NoSession,
    /// Not for that resource or scope.
    #[error(transparent)]
    OutOfGrant(#[from] OutOfGrant),
    /// The agent, or its run, may not have it.
    #[error(transparent)]
    Run(#[from] RunRefusal),
    /// Its lineage is as long as one may be.
    #[error("the token was exchanged too many times over")]
    TooDeep,
}

/// A token and its ancestors at most: a tool that hands a pass to a tool that hands one on; for agents a pass and a run each,
/// and what the innermost makes of its own. Each rides in every token.
pub(crate) const LINEAGE_MAX: usize = 2 * CHAIN_MAX + 2;

impl Change for Exchange {
    type Outcome = Exchanged;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let place = &self.subject.place;
        let Some(session) = place.session else {
            refuse(tx, &place.into(), "no_session")?;
            return Ok(Exchanged::Refused(ExchangeRefusal::NoSession));
        };
        let Some(loaded) = load(tx.db(), session)? else {
            refuse(tx, &place.into(), crate::redeem::rule(Refusal::Unknown))?;
            return Ok(Exchanged::Refused(Refusal::Unknown.into()));
        };
        let session = loaded.session;
        tx.acts(Actor::Principal(session.principal));
        if let Some((why, rule)) = self.judge(tx, &session, loaded.in_use)? {
            let acting = place.acting;
            let subject = RefusedSubject { acting, ..about(tx, Event::Denied, &session).into() };
            refuse(tx, &subject, rule)?;
            return Ok(Exchanged::Refused(why));
        }
        // What the subject lacks is not given back, though the session was granted it.
        let mut granted = session.grant.scopes.within(&self.subject.scopes);
        let above = place.acting.map(|acting| acting.run);
        let mut run = match runs::enter(tx, &session, self.acting.as_ref(), above, self.purpose.as_ref())? {
            Ok(run) => run,
            Err(why) => return self.refused_of_run(tx, &session, None, why),
        };
        if let Some(entered) = &mut run {
            if let Err(why) = runs::charge(tx, &mut entered.run, self.resource_of(&session))? {
                return self.refused_of_run(tx, &session, entered.known(), why);
            }
            // SECURITY: what the agent may not have is not there for it.
            let persons = std::mem::take(&mut granted);
            granted = persons.within(&entered.run.scopes);
            let asked = self.wanted.scopes.as_ref();
            let beyond = asked.is_some_and(|asked| persons.include(asked) && !granted.include(asked));
            if beyond || granted.is_empty() {
                return self.refused_of_run(tx, &session, entered.known(), RunRefusal::Scope);
            }
        }
        let (reached, scopes) = match reach(
            tx.db(),
            session.org,
            &granted,
            &session.grant.resources,
            &self.wanted,
            Proved::by(&session, tx.now),
        )? {
            Ok(within) => within,
            Err(why) => {
                let acting = run.as_ref().and_then(Entered::known);
                let subject = RefusedSubject { acting, ..about(tx, Event::Denied, &session).into() };
                refuse(tx, &subject, why.rule())?;
                return Ok(Exchanged::Refused(why.into()));
            }
        };
        let credential = CredentialId::new(tx.now, tx.entropy());
        let stamp = tx.issue_stamp();
        let expires = (tx.now + loaded.limits.access_token(self.wanted.lifetime)).min(session.expires);
        let mut lin = place.credentials.clone();
        let mut chain = Vec::new();
        let expires = match &mut run {
            None => expires,
            Some(entered) => {
                let url = match &reached {
                    Reached::Resource { url, .. } => Some(url.as_str()),
                    Reached::Issuer => None,
                };
                runs::handed(tx, &session, entered, url)?;
                chain = runs::chain(tx.db(), &entered.run)?;
                // Each run's name is an ancestor of its passes: a cut of any of them ends this one.
                lin.extend(
                    chain.iter().map(|acting| acting.run).filter(|run| !place.credentials.contains(run)),
                );
                expires.min(entered.run.expires)
            }
        };
        tx.db().run(
            "UPDATE sessions SET seen = max(seen, ?2) WHERE id = ?1",
            (session.id.bytes(), tx.now.millis()),
        )?;
        let entry = about(tx, Event::Exchanged, &session);
        let acting = chain.first().copied();
        let lease = match self.lease {
            true => Some(open_lease(tx, &entry, credential, expires, acting)?),
            false => None,
        };
        let mut detail =
            Detail::new().with(Key::SCOPE, scopes.to_string()).with(Key::EXPIRES, expires.millis());
        if let Some(parent) = place.credentials.first() {
            detail = detail.with(Key::PARENT, parent.to_string());
        }
        if let Some(acting) = acting {
            detail = runs::with_acting(detail, acting);
        }
        let entry =
            Entry { credential: Some(credential), resource: reached.resource(), lease, detail, ..entry };
        let purpose = self.purpose.as_ref().map_or("", Purpose::as_str);
        tx.record_personal(
            entry,
            &[(Field::Purpose, purpose), (Field::Address, self.address.as_deref().unwrap_or_default())],
        );
        Ok(Exchanged::Issued(Box::new(Narrowed {
            credential,
            stamp,
            lin,
            reached,
            scopes,
            expires,
            session,
            lease,
            acting: chain,
        })))
    }
}

impl Exchange {
    fn refused_of_run(
        &self,
        tx: &mut Tx<'_>,
        session: &Session,
        acting: Option<Acting>,
        why: RunRefusal,
    ) -> Result<Exchanged, StoreError> {
        let acting = acting.or(self.subject.place.acting);
        let subject = RefusedSubject { acting, ..about(tx, Event::Denied, session).into() };
        refuse(tx, &subject, why.rule())?;
        Ok(Exchanged::Refused(why.into()))
    }

    /// The API that is asked for, as far as that shows from the request and the grant alone.
    fn resource_of<'a>(&'a self, session: &'a Session) -> Option<&'a str> {
        match (&self.wanted.reach, session.grant.resources.as_slice()) {
            (Reach::Resource(url), known) => known.contains(url).then_some(url),
            (Reach::Unsaid, [only]) => Some(only),
            (Reach::Unsaid | Reach::Issuer, _) => None,
        }
    }

    fn judge(
        &self,
        tx: &Tx<'_>,
        session: &Session,
        in_use: bool,
    ) -> Result<Option<(ExchangeRefusal, &'static str)>, StoreError> {
        let place = &self.subject.place;
        let refused = |refusal: Refusal| Ok(Some((refusal.into(), crate::redeem::rule(refusal))));
        if self.org != session.org || place.org != session.org {
            return refused(Refusal::OtherOrg);
        }
        if self.client != session.client || place.client != session.client {
            return refused(Refusal::OtherClient);
        }
        if let Binding::Key(key) = session.binding
            && self.proof.is_none_or(|proof| proof.key != key)
        {
            return refused(Refusal::ProofMissing);
        }
        if let Err(refusal) = session.alive(tx.now) {
            return refused(refusal);
        }
        if !in_use {
            return refused(Refusal::Disabled);
        }
        // The session's own place too: what the token says of it was so when it was issued.
        let cut = match is_session_dead(tx.db(), session)? {
            Some(why) => Some(why),
            None => is_dead(tx.db(), place)?,
        };
        if let Some(why) = cut {
            return Ok(Some((ExchangeRefusal::Cut(why), "cut")));
        }
        Ok((place.credentials.len() > LINEAGE_MAX).then_some((ExchangeRefusal::TooDeep, "too_deep")))
    }
}
