//! Guesses at user codes, counted: by account first, so that one office does not lock itself out, then by network.

use hallpass_model::id::{OrgId, PrincipalId};
use hallpass_model::secret::UserCode;
use hallpass_model::time::{Lifetime, Timestamp};

use crate::change::{Change, Tx};
use crate::device::{DeviceGrant, find_by_user_code};
use crate::error::StoreError;
use crate::refusals::{RefusedSubject, refuse};
use crate::sql::{Columns, Sql};

/// Wrong user codes an hour from one person: nobody mistypes eight letters more often than that.
pub const GUESSES_BY_PERSON: u32 = 10;
/// Wrong user codes an hour from one network: an office of mistyping people, and still hopeless against 20⁸ codes.
pub const GUESSES_BY_ADDRESS: u32 = 100;
/// The hour.
const WINDOW: Lifetime = Lifetime::hours(1);

/// Looks for the device login of a code that a person typed, and counts a wrong one. Both in one step, so that many
/// guesses at once are all counted.
#[derive(Debug, Clone)]
pub struct GuessUserCode {
    /// Where.
    pub org: OrgId,
    /// Who is logged in and typed it.
    pub person: PrincipalId,
    /// The network it came from, such as `203.0.113.0/24`.
    pub address_prefix: String,
    /// What they typed.
    pub typed: String,
}

/// What a guess came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guessed {
    /// There is such a device login. Whether it is still open stands in it.
    Found(Box<DeviceGrant>),
    /// There is none.
    Wrong,
    /// Too many were wrong: the code was not even looked at.
    TooMany {
        /// When they may try again.
        until: Timestamp,
    },
}

impl Change for GuessUserCode {
    type Outcome = Guessed;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let counters = [
            (tx.keys().mark::<UserCode>(&[b"person", self.person.bytes()]).0, GUESSES_BY_PERSON),
            (
                tx.keys().mark::<UserCode>(&[b"network", self.org.bytes(), self.address_prefix.as_bytes()]).0,
                GUESSES_BY_ADDRESS,
            ),
        ];
        for (counter, most) in &counters {
            let spent: Option<Timestamp> = tx.db().one(
                "SELECT expires FROM guesses WHERE fingerprint = ?1 AND expires > ?2 AND wrong >= ?3",
                (counter, tx.now.millis(), most),
                |row| row.time(0),
            )?;
            if let Some(until) = spent {
                let subject =
                    RefusedSubject { principal: Some(self.person), ..RefusedSubject::org(self.org) };
                refuse(tx, &subject, "user_code_guesses")?;
                return Ok(Guessed::TooMany { until });
            }
        }
        if let Some(found) = find_by_user_code(tx.db(), tx.keys(), self.org, &self.typed)? {
            // Two people with one code: what a person sees who was sent a stranger's, or whose own was taken.
            if found.answered_by().is_some_and(|by| by != self.person) {
                let subject = RefusedSubject {
                    principal: Some(self.person),
                    client: Some(found.client),
                    ..RefusedSubject::org(self.org)
                };
                refuse(tx, &subject, "answered_by_another")?;
            }
            return Ok(Guessed::Found(Box::new(found)));
        }
        for (counter, _) in &counters {
            tx.db().run(
                "INSERT INTO guesses (fingerprint, wrong, expires) VALUES (?1, 1, ?3) ON CONFLICT (fingerprint) DO UPDATE \
                 SET wrong = CASE WHEN expires > ?2 THEN wrong + 1 ELSE 1 END, \
                 expires = CASE WHEN expires > ?2 THEN expires ELSE ?3 END",
                (counter, tx.now.millis(), (tx.now + WINDOW).millis()),
            )?;
        }
        Ok(Guessed::Wrong)
    }
}
