//! Cuts: the only way anything is revoked.
//!
//! A cut is an axis and an id. A token names its own place on every axis, so one small entry kills any
//! subtree, at a cost that does not depend on how much is in it.

use serde::{Deserialize, Serialize};

use crate::agent::Acting;
use crate::id::{ClientId, CredentialId, DeviceId, OrgId, PrincipalId, SessionId};

/// The six axes on which anything can be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Everything of a tenant.
    Org,
    /// Everything of a person, workload or agent.
    Principal,
    /// Everything issued to a client.
    Client,
    /// Everything on a machine.
    Device,
    /// One login and all that came of it.
    Session,
    /// One credential and all that came of it.
    Credential,
}

impl Axis {
    /// Every axis.
    pub const ALL: [Axis; 6] =
        [Axis::Org, Axis::Principal, Axis::Client, Axis::Device, Axis::Session, Axis::Credential];

    /// Whether a cut on this axis kills only what was issued up to its stamp. On the others dead is dead.
    pub fn is_stamped(self) -> bool {
        !matches!(self, Axis::Session | Axis::Credential)
    }

    /// The number the store keeps. Never changes.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The axis of a number the store kept.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|axis| axis.code() == code)
    }

    /// The word for people and the ledger.
    pub fn text(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Principal => "principal",
            Self::Client => "client",
            Self::Device => "device",
            Self::Session => "session",
            Self::Credential => "credential",
        }
    }
}

/// When something was issued, as the store counts it: milliseconds of its clock, but never less than any stamp
/// given before, and after a cut always more than the cut's. Not a time to show or to compare with a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub i64);

/// The thing a cut names, on its axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A tenant.
    Org(OrgId),
    /// A principal.
    Principal(PrincipalId),
    /// A client.
    Client(ClientId),
    /// A device.
    Device(DeviceId),
    /// A session.
    Session(SessionId),
    /// A credential.
    Credential(CredentialId),
}

impl Target {
    /// Its axis.
    pub fn axis(&self) -> Axis {
        match self {
            Self::Org(_) => Axis::Org,
            Self::Principal(_) => Axis::Principal,
            Self::Client(_) => Axis::Client,
            Self::Device(_) => Axis::Device,
            Self::Session(_) => Axis::Session,
            Self::Credential(_) => Axis::Credential,
        }
    }

    /// Its id's bytes, as the store keeps them.
    pub fn id_bytes(&self) -> &[u8; 16] {
        match self {
            Self::Org(id) => id.bytes(),
            Self::Principal(id) => id.bytes(),
            Self::Client(id) => id.bytes(),
            Self::Device(id) => id.bytes(),
            Self::Session(id) => id.bytes(),
            Self::Credential(id) => id.bytes(),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Org(id) => id.fmt(f),
            Self::Principal(id) => id.fmt(f),
            Self::Client(id) => id.fmt(f),
            Self::Device(id) => id.fmt(f),
            Self::Session(id) => id.fmt(f),
            Self::Credential(id) => id.fmt(f),
        }
    }
}

/// Why something was cut. Told to its owner and kept in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its holder signed out or revoked it (RFC 7009).
    SignedOut,
    /// The person ended it, on the page or by saying it was not them.
    EndedByPerson,
    /// An administrator, operator or responder ended it.
    EndedByAdministrator,
    /// A spent refresh token was sent again, or the right one with another key.
    Reuse,
    /// A bearer-only session's retry came after its window.
    RetryTooLate,
    /// An authorization code was redeemed twice (RFC 6749, section 4.1.2).
    CodeReplayed,
    /// It was found, whole, where it should not be.
    Leaked,
    /// The command it was handed to is over.
    RunOver,
    /// The command's connection dropped and did not come back.
    RunLost,
    /// It, or what it belongs to, was taken out of use.
    Disabled,
    /// Whoever answered for it left, and nobody has taken it over.
    Suspended,
    /// The store was restored from a backup older than it.
    Restored,
    /// It is long over, and how it ended is forgotten; or nothing is known of the session it names.
    Forgotten,
}

impl Why {
    /// The word the store and the ledger keep.
    pub fn text(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::EndedByPerson => "ended_by_person",
            Self::EndedByAdministrator => "ended_by_administrator",
            Self::Reuse => "reuse",
            Self::RetryTooLate => "retry_too_late",
            Self::CodeReplayed => "code_replayed",
            Self::Leaked => "leaked",
            Self::RunOver => "run_over",
            Self::RunLost => "run_lost",
            Self::Disabled => "disabled",
            Self::Suspended => "suspended",
            Self::Restored => "restored",
            Self::Forgotten => "forgotten",
        }
    }
}

impl std::str::FromStr for Why {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [
            Self::SignedOut,
            Self::EndedByPerson,
            Self::EndedByAdministrator,
            Self::Reuse,
            Self::RetryTooLate,
            Self::CodeReplayed,
            Self::Leaked,
            Self::RunOver,
            Self::RunLost,
            Self::Disabled,
            Self::Suspended,
            Self::Restored,
            Self::Forgotten,
        ]
        .into_iter()
        .find(|why| why.text() == text)
        .ok_or(())
    }
}

/// A revocation of everything on one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// What is cut.
    pub target: Target,
    /// What was issued at or before this is dead. Not looked at on the session and credential axes.
    pub upto: Stamp,
    /// Why.
    pub why: Why,
}

/// Where a credential stands: its name on every axis it is on, and when it was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The tenant that issued it.
    pub org: OrgId,
    /// Whom it acts for, unless a client acts for itself.
    pub principal: Option<PrincipalId>,
    /// To whom it was issued.
    pub client: ClientId,
    /// The machine it lives on, where that is known.
    pub device: Option<DeviceId>,
    /// The login it came of, unless it came of none.
    pub session: Option<SessionId>,
    /// Itself and its ancestors that have no other name here.
    pub credentials: Vec<CredentialId>,
    /// The agent that acts, and its run, which is among the ancestors.
    pub acting: Option<Acting>,
    /// When it was issued.
    pub stamp: Stamp,
}

impl Place {
    /// Every target whose cut could kill this.
    pub fn targets(&self) -> impl Iterator<Item = Target> + '_ {
        [Some(Target::Org(self.org)), Some(Target::Client(self.client))]
            .into_iter()
            .chain([
                self.principal.map(Target::Principal),
                self.device.map(Target::Device),
                self.session.map(Target::Session),
            ])
            .flatten()
            .chain(self.credentials.iter().copied().map(Target::Credential))
    }

    /// Whether `cut` kills this. INVARIANT: downward-closed; equal stamps are dead.
    pub fn is_killed_by(&self, cut: &Cut) -> bool {
        self.targets().any(|target| target == cut.target)
            && (!cut.target.axis().is_stamped() || self.stamp <= cut.upto)
    }
}

/// Gives stamps: the whole rule, so that the store only has to keep the two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StampClock {
    /// The greatest stamp given so far.
    pub last: Stamp,
    /// Whether the last one given was a cut's, so that the next must be greater.
    pub after_cut: bool,
}

impl StampClock {
    /// The stamp of something issued at `now`. Issuances may share one.
    pub fn issue(&mut self, now: crate::time::Timestamp) -> Stamp {
        let least = if self.after_cut { self.last.0 + 1 } else { self.last.0 };
        self.last = Stamp(now.millis().max(least));
        self.after_cut = false;
        self.last
    }

    /// The stamp of a cut made at `now`: everything issued so far is at or before it.
    pub fn cut(&mut self, now: crate::time::Timestamp) -> Stamp {
        self.last = Stamp(now.millis().max(self.last.0));
        self.after_cut = true;
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    fn place(stamp: Stamp) -> Place {
        let (now, e) = (Timestamp::from_millis(0), Seeded::new(1));
        Place {
            org: OrgId::new(now, &e),
            principal: Some(PrincipalId::new(now, &e)),
            client: ClientId::new(now, &e),
            device: Some(DeviceId::new(now, &e)),
            session: Some(SessionId::new(now, &e)),
            credentials: vec![CredentialId::new(now, &e), CredentialId::new(now, &e)],
            acting: None,
            stamp,
        }
    }

    #[test]
    fn a_cut_on_any_axis_of_a_place_kills_it_and_on_another_s_does_not() {
        let here = place(Stamp(5));
        assert_eq!(here.targets().count(), 7);
        for target in here.targets() {
            assert!(here.is_killed_by(&Cut { target, upto: Stamp(5), why: Why::SignedOut }), "{target}");
        }
        let elsewhere = Target::Session(SessionId::new(Timestamp::from_millis(9), &Seeded::new(9)));
        assert!(!here.is_killed_by(&Cut { target: elsewhere, upto: Stamp(99), why: Why::SignedOut }));
    }

    #[test]
    fn what_is_issued_after_a_stamped_cut_lives_and_dead_is_dead_on_the_others() {
        let here = place(Stamp(6));
        for target in here.targets() {
            let cut = Cut { target, upto: Stamp(5), why: Why::Disabled };
            assert_eq!(here.is_killed_by(&cut), !target.axis().is_stamped(), "{target}");
        }
    }

    proptest! {
        /// However the clock jumps: never backward, equal to a cut only before it, greater after it.
        #[test]
        fn stamps_hold_their_promise_under_any_clock(steps in proptest::collection::vec((any::<bool>(), -10i64..10), 1..60)) {
            let mut clock = StampClock { last: Stamp(0), after_cut: false };
            let mut last_cut = None;
            let mut last = Stamp(i64::MIN);
            for (is_cut, now) in steps {
                let now = Timestamp::from_millis(now);
                let stamp = if is_cut { clock.cut(now) } else { clock.issue(now) };
                prop_assert!(stamp >= last);
                if !is_cut && let Some(cut) = last_cut {
                    prop_assert!(stamp > cut);
                }
                if is_cut {
                    last_cut = Some(stamp);
                }
                last = stamp;
            }
        }
    }
}
