//! Every command of the operator's on one page: its verb, and the act of the table of roles that it is.

use std::convert::Infallible;
use std::pin::Pin;

use bytes::Bytes;
use hallpass_model::role::{Act, Role, may};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::office::Office;
use super::refused::Refused;

mod backups;
mod client_proofs;
mod clients;
mod devices;
mod documents;
mod keys;
mod ledger;
mod links;
mod orgs;
mod owners;
mod people;
mod providers;
mod requirements;
mod resources;
mod sessions;
mod step_up;
mod teams;
mod trusts;

/// What is answered: whole, or line by line.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

type Answering = Pin<Box<dyn Future<Output = Result<Body, Refused>> + Send>>;

/// One command.
pub struct Verb {
    name: &'static str,
    act: Act,
    answer: fn(Office, Bytes) -> Answering,
}

macro_rules! verbs {
    ($($name:literal $act:ident $answer:path;)*) => {
        const TABLE: &[Verb] = &[$(Verb {
            name: $name,
            act: Act::$act,
            answer: |office, question| Box::pin(async move { give($answer(&office, read(&question)?).await?) }),
        },)*];
    };
}

verbs! {
    "org.add" RunOrgs orgs::add;
    "org.list" RunOrgs orgs::list;
    "org.show" RunOrgs orgs::show;
    "org.disable" RunOrgs orgs::disable;
    "org.enable" RunOrgs orgs::enable;
    "org.limits" RunOrgs orgs::limits;
    "org.rungs" RunOrgs orgs::rungs;
    "org.require" RunOrgs requirements::require;
    "org.check" RunOrgs requirements::check;
    "org.login.set" RunOrgs providers::set;
    "org.login.show" RunOrgs providers::show;
    "org.login.remove" RunOrgs providers::remove;
    "org.recover" RecoverAdministrator links::recover;
    "setup.link" RunOrgs links::setup_link;
    "person.add" RunDirectory people::add;
    "person.list" RunDirectory people::list;
    "person.show" RunDirectory people::show;
    "person.disable" RunDirectory people::disable;
    "person.enable" RunDirectory people::enable;
    "person.link" RunDirectory links::enrolment_link;
    "person.passkey.list" RunDirectory people::list_passkeys;
    "person.passkey.remove" RemoveLostPasskey people::remove_passkey;
    "person.erase" ErasePersonal people::erase;
    "org.keys" RunOrgs orgs::keys;
    "org.rotate_key" RunOrgs orgs::rotate_key;
    "team.add" RunDirectory teams::add;
    "team.list" RunDirectory teams::list;
    "team.show" RunDirectory teams::show;
    "team.members" RunDirectory teams::members;
    "team.join" RunDirectory teams::join;
    "team.leave" RunDirectory teams::leave;
    "team.disable" RunDirectory teams::disable;
    "team.enable" RunDirectory teams::enable;
    "client.add" RunDirectory clients::add;
    "client.list" RunDirectory clients::list;
    "client.show" RunDirectory clients::show;
    "client.disable" RunDirectory clients::disable;
    "client.enable" RunDirectory clients::enable;
    "client.require" RunDirectory step_up::client;
    "client.environment" RunDirectory clients::environment;
    "client.fapi" RunDirectory clients::fapi;
    "client.documents.allow" RunDirectory documents::allow;
    "client.documents.list" RunDirectory documents::list;
    "client.documents.forbid" RunDirectory documents::forbid;
    "client.rotate" RunDirectory client_proofs::rotate;
    "client.secret.list" RunDirectory client_proofs::list_secrets;
    "client.secret.remove" RunDirectory client_proofs::remove_secret;
    "client.key.add" RunDirectory client_proofs::add_keys;
    "client.key.list" RunDirectory client_proofs::list_keys;
    "client.key.remove" RunDirectory client_proofs::remove_key;
    "resource.add" RunDirectory resources::add;
    "resource.list" RunDirectory resources::list;
    "resource.show" RunDirectory resources::show;
    "resource.disable" RunDirectory resources::disable;
    "resource.enable" RunDirectory resources::enable;
    "resource.require" RunDirectory step_up::resource;
    "trust.add" RunDirectory trusts::add;
    "trust.list" RunDirectory trusts::list;
    "trust.show" RunDirectory trusts::show;
    "trust.disable" RunDirectory trusts::disable;
    "trust.enable" RunDirectory trusts::enable;
    "trust.lint" RunDirectory trusts::lint;
    "trust.test" RunDirectory trusts::test;
    "key.add" RunDirectory keys::add;
    "key.list" RunDirectory keys::list;
    "key.show" RunDirectory keys::show;
    "key.rotate" RunDirectory keys::rotate;
    "key.revoke" EndAnySession keys::revoke;
    "key.migrate" RunDirectory keys::migrate;
    "owner.transfer" RunDirectory owners::transfer;
    "device.list" RunDirectory devices::list;
    "device.approve" ApproveLocally devices::approve;
    "session.list" EndAnySession sessions::list;
    "session.end" EndAnySession sessions::end;
    "cut" EndAnySession sessions::cut;
    "backup" BackUp backups::backup;
    "ledger.checkpoint" ReadLedger ledger::checkpoint;
    "ledger.prove" ReadLedger ledger::prove;
}

/// The one command that is answered line by line.
const LEDGER_LIST: Verb = Verb {
    name: "ledger.list",
    act: Act::ReadLedger,
    answer: |office, question| Box::pin(async move { ledger::list(office, read(&question)?).await }),
};

/// The command of this name.
pub fn find(name: &str) -> Option<&'static Verb> {
    all().find(|verb| verb.name == name)
}

fn all() -> impl Iterator<Item = &'static Verb> {
    TABLE.iter().chain([&LEDGER_LIST])
}

impl Verb {
    /// The command, if the operator, which is whoever gets this far, may do it.
    pub fn permit(&'static self) -> Result<Permitted, Refused> {
        match may(Role::Operator, self.act) {
            true => Ok(Permitted(self)),
            false => Err(Refused::by_rule(format_args!("the operator may not do `{}`", self.name))),
        }
    }
}

/// A command that the table of roles gives to whoever asks. Nothing else is done.
pub struct Permitted(&'static Verb);

impl Permitted {
    /// Does it.
    pub async fn answer(&self, office: Office, question: Bytes) -> Result<Body, Refused> {
        (self.0.answer)(office, question).await
    }
}

/// A body that is there already.
pub fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

fn read<Q: DeserializeOwned>(question: &[u8]) -> Result<Q, Refused> {
    serde_json::from_slice(question)
        .map_err(|error| Refused::usage(format_args!("the question is not as expected: {error}")))
}

fn give<A: Serialize>(answer: A) -> Result<Body, Refused> {
    Ok(whole(serde_json::to_vec(&answer).expect("an answer is plain data").into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hallpass_model::role;

    #[test]
    fn every_command_is_an_act_that_the_table_of_roles_gives_the_operator() {
        for verb in all() {
            assert!(verb.permit().is_ok(), "{}", verb.name);
        }
    }

    #[test]
    fn every_act_of_the_operator_has_a_command() {
        let acts =
            role::TABLE.iter().filter(|(_, roles)| roles.contains(&Role::Operator)).map(|(act, _)| *act);
        for act in acts {
            assert!(all().any(|verb| verb.act == act), "{act:?}");
        }
    }

    #[test]
    fn what_the_table_does_not_give_the_operator_is_refused() {
        let is_given = |roles: &[Role]| roles.contains(&Role::Operator) || roles.contains(&Role::Anyone);
        let all_acts = role::TABLE.iter().map(|(act, roles)| (*act, is_given(roles)));
        for (act, given) in all_acts {
            let verb = Verb { name: "x", act, answer: |_, _| Box::pin(async { Ok(whole(Bytes::new())) }) };
            let verb: &'static Verb = Box::leak(Box::new(verb));
            assert_eq!(verb.permit().is_ok(), given, "{act:?}");
        }
    }

    #[test]
    fn no_command_stands_twice() {
        let mut names: Vec<_> = all().map(|verb| verb.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
    }
}
