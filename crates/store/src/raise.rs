//! A session made as strong as its person has just proved anew (RFC 9470): the same session, key and refresh tokens.

use hallpass_model::grant::{Approval, Authentication};
use hallpass_model::id::{ClientId, CredentialId, DeviceId, OrgId, PrincipalId, SessionId};
use hallpass_model::jose::Thumbprint;
use hallpass_model::ledger::{Detail, Entry, Event, Field, Key};
use hallpass_model::raise::{NotRaised, Raise, proves};
use hallpass_model::session::{RefreshToken, Refusal, Session};

use crate::change::Tx;
use crate::error::StoreError;
use crate::open::Store;
use crate::reach::{OutOfGrant, Wanted, reach};
use crate::refusals::{RefusedSubject, refuse};
use crate::sessions::{Loaded, Opened, about, is_session_dead, load};
use crate::sql::{Columns, Sql, json};
use crate::step_up::Proved;

/// What a session is raised with.
pub(crate) struct Raising {
    pub(crate) session: SessionId,
    pub(crate) org: OrgId,
    pub(crate) client: ClientId,
    pub(crate) principal: PrincipalId,
    pub(crate) authentication: Authentication,
    pub(crate) approval: Approval,
    /// The key that was proved by whoever redeems the answer.
    pub(crate) key: Option<Thumbprint>,
    /// The code it comes of.
    pub(crate) origin: CredentialId,
    pub(crate) wanted: Wanted,
    pub(crate) address: Option<String>,
    pub(crate) flow: &'static str,
    pub(crate) nonce: Option<String>,
}

/// Why nothing came of it. The session goes on as it is.
pub(crate) enum Unraised {
    NotRaised(NotRaised),
    OutOfGrant(OutOfGrant),
}

/// Raises a session. What it may do, where, and until when stays as it was.
pub(crate) fn raise(tx: &mut Tx<'_>, raising: Raising) -> Result<Result<Opened, Unraised>, StoreError> {
    let by = Raise {
        org: raising.org,
        client: raising.client,
        principal: raising.principal,
        authentication: &raising.authentication,
    };
    let Loaded { mut session, limits, .. } = match judge(tx, raising.session, &by)? {
        Ok(loaded) => loaded,
        Err(why) => return Ok(Err(Unraised::NotRaised(why))),
    };
    // SECURITY: the holder of the session, not merely of the code: else a code that leaked would bring its finder a token.
    if let Err(why) = proves(&session, raising.key) {
        refuse(tx, &about(tx, Event::Denied, &session).into(), rule(why))?;
        return Ok(Err(Unraised::NotRaised(why)));
    }
    session.grant.authentication = raising.authentication;
    session.grant.approval = raising.approval;
    let within = reach(
        tx.db(),
        session.org,
        &session.grant.scopes,
        &session.grant.resources,
        &raising.wanted,
        Proved::by(&session, tx.now),
    )?;
    let (reached, scopes) = match within {
        Ok(within) => within,
        Err(why) => {
            refuse(tx, &about(tx, Event::Denied, &session).into(), why.rule())?;
            return Ok(Err(Unraised::OutOfGrant(why)));
        }
    };
    tx.db().run(
        "UPDATE sessions SET permitted = ?2, seen = max(seen, ?3) WHERE id = ?1",
        (session.id.bytes(), json(&session.grant), tx.now.millis()),
    )?;
    let credential = CredentialId::new(tx.now, tx.entropy());
    let stamp = tx.issue_stamp();
    let expires = (tx.now + limits.access_token(raising.wanted.lifetime)).min(session.expires);
    let amr: Vec<&str> = session.grant.authentication.amr.iter().map(|amr| amr.text()).collect();
    let detail = Detail::new()
        .with(Key::FLOW, raising.flow)
        .with(Key::ACR, session.grant.authentication.acr.text())
        .with(Key::AMR, amr.join(" "))
        .with(Key::EXPIRES, session.expires.millis())
        .with(Key::PARENT, raising.origin.to_string());
    let entry = Entry {
        credential: Some(credential),
        resource: reached.resource(),
        detail,
        ..about(tx, Event::Raised, &session)
    };
    tx.record_personal(entry, &[(Field::Address, raising.address.as_deref().unwrap_or_default())]);
    Ok(Ok(Opened {
        session,
        refresh_token: None,
        credential,
        stamp,
        reached,
        scopes,
        expires,
        nonce: raising.nonce,
        raised: true,
    }))
}

/// Whether the person's part of it is good: that the session stands, and may be raised by them. A refusal is recorded.
pub(crate) fn judge(
    tx: &mut Tx<'_>,
    session: SessionId,
    by: &Raise<'_>,
) -> Result<Result<Loaded, NotRaised>, StoreError> {
    let unknown = || RefusedSubject {
        principal: Some(by.principal),
        client: Some(by.client),
        ..RefusedSubject::org(by.org)
    };
    let Some(loaded) = load(tx.db(), session)? else {
        refuse(tx, &unknown(), crate::redeem::rule(Refusal::Unknown))?;
        return Ok(Err(Refusal::Unknown.into()));
    };
    let why = match by.may_raise(&loaded.session, tx.now) {
        Err(why) => Some(why),
        Ok(()) if !loaded.in_use => Some(Refusal::Disabled.into()),
        Ok(()) => is_session_dead(tx.db(), &loaded.session)?.map(|why| Refusal::Cut(why).into()),
    };
    let Some(why) = why else { return Ok(Ok(loaded)) };
    // Somebody else's try is an entry about them, in whose session it was not.
    let subject = match why {
        NotRaised::OtherPerson => RefusedSubject { session: Some(loaded.session.id), ..unknown() },
        _ => subject_of(tx, &loaded.session),
    };
    refuse(tx, &subject, rule(why))?;
    Ok(Err(why))
}

impl Store {
    /// The session whose refresh token this is, over or not; `None` also for one that a newer has taken the place of. It is
    /// looked at, and neither traded nor confirmed.
    pub async fn find_session_shown(&self, shown: &RefreshToken) -> Result<Option<Session>, StoreError> {
        self.read(|db| {
            let Some(loaded) = load(db, shown.session())? else { return Ok(None) };
            let key = loaded.key(&self.inner.keys)?;
            let authentic = shown.authenticate(&key).ok();
            // One behind may be its holder's newest: the answer that brought the next was lost.
            let newest = loaded.session.rotation.newest;
            Ok(authentic
                .filter(|token| (token.generation()..=token.generation() + 1).contains(&newest))
                .map(|_| loaded.session))
        })
    }

    /// What a device was called last.
    pub async fn device_name(&self, device: DeviceId) -> Result<Option<String>, StoreError> {
        self.read(|db| db.one("SELECT name FROM devices WHERE id = ?1", [device.bytes()], |row| row.text(0)))
    }
}

fn subject_of(tx: &Tx<'_>, session: &Session) -> RefusedSubject {
    about(tx, Event::Denied, session).into()
}

pub(crate) fn rule(why: NotRaised) -> &'static str {
    match why {
        NotRaised::Session(refusal) => crate::redeem::rule(refusal),
        NotRaised::OtherPerson => "session_of_other_person",
        NotRaised::Unbound => "session_unbound",
        NotRaised::NoBetter => "step_up_no_better",
    }
}
