//! Raising a session: the same one, made as strong, and as lately so, as its person has just proved anew (RFC 9470).
//!
//! 1. Only the person whose session it is raises it, through the client that it was issued to, at its own org.
//! 2. It must be bound to a key, and whoever asks must prove it: an access token that was copied raises nothing.
//! 3. What was proved must be later than before, and no weaker. An operator's word raises nothing.
//! 4. Nothing else changes: neither how far the session reaches nor when it ends.

use crate::grant::{Acr, Authentication};
use crate::id::{ClientId, OrgId, PrincipalId};
use crate::jose::Thumbprint;
use crate::session::{Binding, Refusal, Session};
use crate::time::Timestamp;

/// Who wants to raise a session, and what they proved for it.
#[derive(Debug, Clone, Copy)]
pub struct Raise<'a> {
    /// At which org.
    pub org: OrgId,
    /// Through which client.
    pub client: ClientId,
    /// Who proved anew who they are.
    pub principal: PrincipalId,
    /// How.
    pub authentication: &'a Authentication,
}

/// Why a session is not raised. It goes on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotRaised {
    /// It is over, cut, disabled, of another org or client, or its key was not proved.
    #[error(transparent)]
    Session(#[from] Refusal),
    /// Somebody else came than the one whose session it is.
    #[error("the session is another person's")]
    OtherPerson,
    /// It is bound to no key, so nobody can prove that it is theirs.
    #[error("the session is bound to no key")]
    Unbound,
    /// What was proved is no later, or weaker, than what the session has.
    #[error("the new login is no better than the one that the session came of")]
    NoBetter,
}

impl Raise<'_> {
    /// Whether this may raise `session`, as far as the person's own part goes: asked when they answer, and again when the
    /// answer is redeemed. It does not know of cuts and disabled states, and not whether the key is proved ([`proves`]).
    pub fn may_raise(&self, session: &Session, now: Timestamp) -> Result<(), NotRaised> {
        if self.org != session.org {
            return Err(Refusal::OtherOrg.into());
        }
        if self.client != session.client {
            return Err(Refusal::OtherClient.into());
        }
        if session.binding == Binding::Bearer {
            return Err(NotRaised::Unbound);
        }
        // SECURITY: before anything is said of the session. A session that somebody else is talked into raising would be
        // as strong as their login and stay the asker's.
        if self.principal != session.principal {
            return Err(NotRaised::OtherPerson);
        }
        session.alive(now)?;
        let had = &session.grant.authentication;
        let better = self.authentication.acr > Acr::Local
            && self.authentication.acr >= had.acr
            && self.authentication.at > had.at;
        if better { Ok(()) } else { Err(NotRaised::NoBetter) }
    }
}

/// Whether this is a proof of the key that a session is bound to.
pub fn proves(session: &Session, key: Option<Thumbprint>) -> Result<(), NotRaised> {
    match session.binding {
        Binding::Bearer => Err(NotRaised::Unbound),
        Binding::Key(bound) if key == Some(bound) => Ok(()),
        Binding::Key(_) => Err(Refusal::ProofMissing.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::Stamp;
    use crate::grant::Amr;
    use crate::grant::{Approval, Grant};
    use crate::id::{CredentialId, SessionId};
    use crate::session::Rotation;
    use crate::time::Lifetime;
    use crate::wire::oauth::Scopes;

    const BEGAN: Timestamp = Timestamp::from_seconds(1_000_000);

    fn session() -> Session {
        Session {
            id: SessionId::from_bytes([1; 16]),
            org: OrgId::from_bytes([2; 16]),
            principal: PrincipalId::from_bytes([3; 16]),
            client: ClientId::from_bytes([4; 16]),
            device: None,
            grant: Grant {
                scopes: Scopes::none(),
                resources: Vec::new(),
                purpose: None,
                authentication: by(Acr::MultiFactor, BEGAN),
                approval: Approval::Browser,
            },
            binding: Binding::Key(Thumbprint::from_bytes([1; 32])),
            origin: CredentialId::from_bytes([5; 16]),
            rotation: Rotation::first(BEGAN),
            stamp: Stamp(1),
            created: BEGAN,
            idle_until: BEGAN + Lifetime::hours(1),
            expires: BEGAN + Lifetime::hours(8),
        }
    }

    fn by(acr: Acr, at: Timestamp) -> Authentication {
        Authentication { at, acr, amr: vec![Amr::Pop] }
    }

    #[test]
    fn a_session_is_raised_by_its_own_person_s_better_login_and_by_nothing_else() {
        let mut session = session();
        let now = session.created + Lifetime::minutes(10);
        let better = by(Acr::PhishingResistant, now);
        let raise = Raise {
            org: session.org,
            client: session.client,
            principal: session.principal,
            authentication: &better,
        };
        assert_eq!(raise.may_raise(&session, now), Ok(()));
        let equal = by(Acr::MultiFactor, now);
        assert_eq!(
            Raise { authentication: &equal, ..raise }.may_raise(&session, now),
            Ok(()),
            "as strong, and later"
        );

        for worse in [
            by(Acr::Sso, now),
            by(Acr::Local, now),
            by(Acr::PhishingResistant, session.created),
            by(Acr::PhishingResistant, session.created - Lifetime::minutes(1)),
        ] {
            let raise = Raise { authentication: &worse, ..raise };
            assert_eq!(raise.may_raise(&session, now), Err(NotRaised::NoBetter), "{worse:?}");
        }
        let other = PrincipalId::from_bytes([9; 16]);
        assert_eq!(Raise { principal: other, ..raise }.may_raise(&session, now), Err(NotRaised::OtherPerson));
        let other = ClientId::from_bytes([9; 16]);
        assert_eq!(
            Raise { client: other, ..raise }.may_raise(&session, now),
            Err(Refusal::OtherClient.into())
        );
        let other = OrgId::from_bytes([9; 16]);
        assert_eq!(Raise { org: other, ..raise }.may_raise(&session, now), Err(Refusal::OtherOrg.into()));
        assert_eq!(raise.may_raise(&session, session.expires), Err(Refusal::Expired.into()));

        // An operator's word is worth less than any login, and what it approved may be raised.
        session.grant.authentication = by(Acr::Local, session.created);
        assert_eq!(raise.may_raise(&session, now), Ok(()));
        session.binding = Binding::Bearer;
        assert_eq!(raise.may_raise(&session, now), Err(NotRaised::Unbound));
    }

    #[test]
    fn only_the_key_that_a_session_is_bound_to_proves_it() {
        let mut session = session();
        let (own, other) = (Thumbprint::from_bytes([1; 32]), Thumbprint::from_bytes([2; 32]));
        session.binding = Binding::Key(own);
        assert_eq!(proves(&session, Some(own)), Ok(()));
        assert_eq!(proves(&session, Some(other)), Err(Refusal::ProofMissing.into()));
        assert_eq!(proves(&session, None), Err(Refusal::ProofMissing.into()));
        session.binding = Binding::Bearer;
        assert_eq!(proves(&session, Some(own)), Err(NotRaised::Unbound));
    }
}
