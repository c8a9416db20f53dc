//! The sign-ins that only the daemon has: taken in, listed, renamed, and ended with it.

use hallpass_model::jose::base64url;
use hallpass_model::secret::Secret;
use zeroize::Zeroizing;

use super::{END_TIME_OUT, HELD_MAX, Office};
use crate::client::OurClient;
use crate::daemon::conversation::{Answer, read, render, request};
use crate::daemon::problem::{BAD_REQUEST, Problem};
use crate::daemon::wire::{
    Deposit, Done, Ended, Held, NotTakenAsked, Records, RenameAsked, SignedOut, Stopped, TokenAsked, Which,
};
use crate::identity::Identity;
use crate::not_taken::NotTaken;
use crate::record::Record;
use crate::vault::Rung;

impl Office {
    /// The sign-ins that are here alone.
    pub(in crate::daemon) fn held(&self) -> Vec<Identity> {
        self.0.holder.shelf.list_memory()
    }

    pub(in crate::daemon) fn records(&self) -> Result<Answer, Problem> {
        let holder = &self.0.holder;
        let locked = self.state().is_locked();
        let records = self.held().into_iter().map(|identity| {
            if locked {
                return Held { identity, opened: None, problem: None, pins: None };
            }
            let pins = holder.shelf.find(&identity).ok().flatten().map(|loaded| loaded.record.pins);
            let (opened, problem) = match holder.status(&identity).and_then(|status| status.opened) {
                Ok(opened) => (Some(opened), None),
                Err(why) => (None, Some(why.to_string())),
            };
            Held { identity, opened, problem, pins }
        });
        Ok(render(&Records { records: records.collect() }))
    }

    /// Takes a sign-in in. The one whose place it takes is ended at its issuer.
    pub(in crate::daemon) async fn deposit(&self, body: &[u8]) -> Result<Answer, Problem> {
        let bad = || Problem::new(BAD_REQUEST, "that is no record of this version");
        let mut deposit: Deposit = read(body)?;
        let shown = Zeroizing::new(std::mem::take(&mut deposit.record));
        let record = Zeroizing::new(base64url::parse(&shown).ok_or_else(bad)?);
        let record = Record::parse(&record).ok_or_else(bad)?;
        let (holder, identity) = (&self.0.holder, deposit.identity);
        self.is_open()?;
        if !holder.shelf.is_in_memory(&identity) && self.held().len() >= HELD_MAX {
            return Err(Problem::new("full", format!("it holds {HELD_MAX} sign-ins already")));
        }
        let earlier = holder.shelf.find_replaced(&identity, Rung::Memory).ok().flatten();
        holder
            .shelf
            .replace(&identity, Rung::Memory, record, (holder.clock)())
            .map_err(|(error, _)| Problem::from(error))?;
        self.0.kept.clear();
        self.mute(Some(&identity));
        self.listen(&identity);
        if let Some(earlier) = earlier {
            // The daemon does not end, or hand over, before that is done.
            let (holder, under_way) = (holder.clone(), holder.renewals.clone().read_owned().await);
            tokio::spawn(async move {
                let _under_way = under_way;
                let _ = holder.give_back_record(&earlier.record, &OurClient::of(&earlier)).await;
            });
        }
        Ok(render(&Done {}))
    }

    pub(in crate::daemon) async fn logout(&self, body: &[u8]) -> Result<Answer, Problem> {
        let Which { identity, revoke_key } = read(body)?;
        if !self.0.holder.shelf.is_in_memory(&identity) {
            return Err(Problem::new("not_held", "that sign-in does not rest here"));
        }
        self.mute(Some(&identity));
        let receipt = match revoke_key {
            true => self.0.holder.logout_revoking_key(&identity).await,
            false => self.0.holder.logout(&identity).await,
        };
        self.0.kept.clear();
        let receipt = receipt?;
        Ok(render(&SignedOut {
            credentials: receipt.credentials,
            wiped: receipt.wiped_key.is_some(),
            not_owed: receipt.not_owed,
        }))
    }

    /// Looks at everything anew, from the next question on.
    pub(in crate::daemon) fn forget(&self, body: &[u8]) -> Result<Answer, Problem> {
        let Which { identity, .. } = read(body)?;
        self.mute(Some(&identity));
        self.0.kept.clear();
        // It may be a new sign-in in the place of the old.
        if self.0.holder.shelf.header(&identity).ok().flatten().is_some() {
            self.listen(&identity);
        }
        Ok(render(&Done {}))
    }

    /// A token was not taken somewhere: the next question for it brings a fresh one.
    pub(in crate::daemon) fn not_taken(&self, body: &[u8]) -> Result<Answer, Problem> {
        self.is_open()?;
        let mut told: NotTakenAsked = read(body)?;
        let token = told.token.take().map(Secret::from_text);
        let (resource, scope) = (told.resource.take(), told.scope.take());
        let request = request(&TokenAsked { resource, scope, ..TokenAsked::default() })?;
        let which = token.as_ref().map_or(NotTaken::KeptFor(&request), NotTaken::Token);
        self.0.holder.not_taken(&told.identity, which)?;
        self.0.kept.clear();
        Ok(render(&Done {}))
    }

    /// Moves what is here alone under another profile.
    pub(in crate::daemon) async fn rename(&self, body: &[u8]) -> Result<Answer, Problem> {
        let RenameAsked { identity, to } = read(body)?;
        self.is_open()?;
        let holder = &self.0.holder;
        let new = identity.clone().under(Some(to));
        if !holder.shelf.is_in_memory(&identity) {
            return Err(Problem::new("not_held", "that sign-in does not rest here"));
        }
        if holder.shelf.header(&new)?.is_some() {
            return Err(Problem::new("usage", "there is a sign-in of that profile already"));
        }
        let renewing = crate::lock::renewing(&identity, &holder.locks).await?;
        holder.shelf.rename(&identity, new.profile.clone(), (holder.clock)())?;
        drop(renewing);
        self.0.kept.clear();
        self.mute(Some(&identity));
        self.listen(&new);
        Ok(render(&Done {}))
    }

    /// Ends what is here alone, at its issuer too: nobody could ever use it, or end it, again.
    pub(in crate::daemon) async fn stop(&self) -> Result<Answer, Problem> {
        let ended = self.end_all().await;
        self.0.stop.send_replace(true);
        Ok(render(&Stopped { ended }))
    }

    /// The same, told by a signal.
    pub(in crate::daemon) async fn end_all(&self) -> Vec<Ended> {
        self.mute(None);
        let mut ended = Vec::new();
        for identity in self.held() {
            let logout = tokio::time::timeout(END_TIME_OUT, self.0.holder.logout(&identity)).await;
            let revoked = matches!(&logout, Ok(Ok(receipt)) if !receipt.may_be_alive());
            ended.push(Ended { issuer: identity.issuer, revoked });
        }
        self.0.kept.clear();
        ended
    }
}
