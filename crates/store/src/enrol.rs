//! The first administrator's set-up, everybody's enrolment, and logging in.

use hallpass_model::grant::Authentication;
use hallpass_model::id::{OrgId, PasskeyId, PrincipalId};
use hallpass_model::secret::{OneTimeLink, Secret};

use crate::change::{Change, Tx};
use crate::error::StoreError;
use crate::links::{LinkPurpose, find_link, spend};
use crate::orgs::{AddOrg, OrgAdded, add_org};
use crate::passkeys::{NewPasskey, PasskeyRefusal, add_passkey};
use crate::refusals::{RefusedSubject, refuse};
use crate::sql::{Columns, Sql};
use crate::web::{WebOpened, open_web};

/// Why a link, a passkey or a login was refused. Nothing was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LoginRefusal {
    /// The link is unknown, spent, over, or for something else.
    #[error("the link does not work: it was used, is over, or is for something else")]
    Link,
    /// The name of the org is taken.
    #[error("the name of the org is taken")]
    Taken,
    /// The passkey cannot be added.
    #[error(transparent)]
    Passkey(#[from] PasskeyRefusal),
    /// The org's provider vouches for somebody who is nobody here.
    #[error("whom the provider vouches for is nobody here")]
    UnknownSubject,
    /// The org's provider vouches for somebody who is somebody else here than the link says.
    #[error("whom the provider vouches for is another person here")]
    LinkedToAnother,
    /// The passkey is not one of this org's.
    #[error("the passkey is not known here")]
    UnknownPasskey,
    /// The person or the org is out of use.
    #[error("the person or the org is disabled")]
    Disabled,
}

/// Spends the set-up link: makes the first org, its administrator, their passkey and their login, all at once.
#[derive(Debug)]
pub struct SetUp {
    /// The link.
    pub link: Secret<OneTimeLink>,
    /// The org.
    pub org: AddOrg,
    /// The administrator's passkey.
    pub passkey: NewPasskey,
    /// How they proved who they are: by making the passkey.
    pub authentication: Authentication,
}

/// What a set-up began.
#[derive(Debug)]
pub struct SetUpDone {
    /// The org and its administrator.
    pub added: OrgAdded,
    /// Their login.
    pub web: WebOpened,
}

impl Change for SetUp {
    type Outcome = Result<SetUpDone, LoginRefusal>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        match find_link(tx.db(), tx.keys(), &self.link, tx.now)? {
            Some(link) if link.purpose == LinkPurpose::SetUp => {}
            _ => return Ok(Err(LoginRefusal::Link)),
        }
        let Ok(added) = add_org(tx, self.org)? else { return Ok(Err(LoginRefusal::Taken)) };
        if let Err(why) = add_passkey(tx, added.administrator, &self.passkey)? {
            // A new org knows no passkey and its administrator is active.
            return Err(StoreError::Damaged(format!("a new administrator's passkey was refused: {why}")));
        }
        spend(tx, &self.link)?;
        let web = open_web(tx, added.org, added.administrator, self.authentication)?;
        Ok(Ok(SetUpDone { added, web }))
    }
}

/// Spends an enrolment link: adds the passkey and logs its person in.
#[derive(Debug)]
pub struct FinishEnrolment {
    /// The link.
    pub link: Secret<OneTimeLink>,
    /// The passkey.
    pub passkey: NewPasskey,
    /// How they proved who they are: by making the passkey.
    pub authentication: Authentication,
}

impl Change for FinishEnrolment {
    type Outcome = Result<WebOpened, LoginRefusal>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let link = find_link(tx.db(), tx.keys(), &self.link, tx.now)?;
        let Some((LinkPurpose::Enrol { person }, Some(org))) = link.map(|link| (link.purpose, link.org))
        else {
            return Ok(Err(LoginRefusal::Link));
        };
        if let Err(why) = add_passkey(tx, person, &self.passkey)? {
            return Ok(Err(why.into()));
        }
        spend(tx, &self.link)?;
        Ok(Ok(open_web(tx, org, person, self.authentication)?))
    }
}

/// Logs a person in whose passkey was just verified.
#[derive(Debug)]
pub struct FinishLogin {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub passkey: PasskeyId,
    /// The passkey's new counter and flags, if they changed.
    pub state: Option<String>,
    /// How they proved who they are.
    pub authentication: Authentication,
}

impl Change for FinishLogin {
    type Outcome = Result<WebOpened, LoginRefusal>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        // SECURITY: another org's passkey is unknown here, whatever its person may do there.
        let person: Option<(PrincipalId, bool)> = tx.db().one(
            "SELECT k.person, p.disabled IS NULL AND o.disabled IS NULL FROM passkeys k \
             JOIN principals p ON p.id = k.person JOIN orgs o ON o.id = k.org WHERE k.id = ?1 AND k.org = ?2",
            (self.passkey.bytes(), self.org.bytes()),
            |row| Ok((row.id(0)?, row.get(1)?)),
        )?;
        let person = match person {
            None => return Ok(Err(LoginRefusal::UnknownPasskey)),
            Some((person, false)) => {
                let subject = RefusedSubject { principal: Some(person), ..RefusedSubject::org(self.org) };
                refuse(tx, &subject, "disabled")?;
                return Ok(Err(LoginRefusal::Disabled));
            }
            Some((person, true)) => person,
        };
        tx.db().run(
            "UPDATE passkeys SET used = ?2, state = coalesce(?3, state) WHERE id = ?1",
            (self.passkey.bytes(), tx.now.millis(), &self.state),
        )?;
        Ok(Ok(open_web(tx, self.org, person, self.authentication)?))
    }
}
