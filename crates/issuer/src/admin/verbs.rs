//! Everything that can be done on one page: its verb, the act of the table of roles that it is, and whose thing it is about.

use std::convert::Infallible;
use std::pin::Pin;

use bytes::Bytes;
use hallpass_model::role::{Act, Role, may};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::forms::{EntryShown, Question};
use super::office::Office;
use super::refused::Refused;
use super::shape::{Schemas, Shape};

mod agents;
mod backups;
mod client_proofs;
mod clients;
mod devices;
mod documents;
mod keys;
mod ledger;
mod lineage;
mod links;
mod notices;
mod orgs;
mod owners;
mod people;
mod providers;
mod registration;
mod requirements;
mod resources;
mod sessions;
mod step_up;
mod teams;
mod trusts;

/// What is answered: whole, or line by line.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

type Answering = Pin<Box<dyn Future<Output = Result<Body, Refused>> + Send>>;

/// Something that can be done.
pub struct Verb {
    name: &'static str,
    act: Act,
    about: About,
    answer: fn(Office, Bytes) -> Answering,
    shapes: fn(&mut Schemas) -> (Value, Value),
}

/// What the one thing is that a verb is about, where its owner may do it as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// None that has an owner, or none whose owner may.
    Nothing,
    /// A client.
    Client,
    /// A resource.
    Resource,
    /// A trust.
    Trust,
    /// An API key.
    Key,
}

macro_rules! verb {
    ($name:literal $act:ident $about:ident $answer:path, $give:expr) => {
        Verb {
            name: $name,
            act: Act::$act,
            about: About::$about,
            answer: |office, question| {
                Box::pin(async move {
                    let mut question = read(&question)?;
                    let office = office.permit(Act::$act, About::$about, &mut question).await?;
                    $give($answer(&office, question).await?)
                })
            },
            shapes: |schemas| shapes(async |office, question| $answer(office, question).await, schemas),
        }
    };
}

macro_rules! verbs {
    ($($name:literal $act:ident $about:ident $answer:path;)*) => {
        const TABLE: &[Verb] = &[$(verb!($name $act $about $answer, give),)*];
    };
}

verbs! {
    "org.add" RunOrgs Nothing orgs::add;
    "org.list" RunOrgs Nothing orgs::list;
    "org.show" ReadDirectory Nothing orgs::show;
    "org.disable" RunOrgs Nothing orgs::disable;
    "org.enable" RunOrgs Nothing orgs::enable;
    "org.limits" SetOrg Nothing orgs::limits;
    "org.rungs" SetOrg Nothing orgs::rungs;
    "org.require" SetOrg Nothing requirements::require;
    "org.check" ReadDirectory Nothing requirements::check;
    "org.login.set" SetOrg Nothing providers::set;
    "org.login.show" ReadDirectory Nothing providers::show;
    "org.login.remove" SetOrg Nothing providers::remove;
    "org.recover" RecoverAdministrator Nothing links::recover;
    "setup.link" RunOrgs Nothing links::setup_link;
    "person.add" RunDirectory Nothing people::add;
    "person.list" ReadDirectory Nothing people::list;
    "person.show" ReadDirectory Nothing people::show;
    "person.disable" TakePersonOutOfUse Nothing people::disable;
    "person.enable" RunDirectory Nothing people::enable;
    "person.link" RunDirectory Nothing links::enrolment_link;
    "person.passkey.list" ReadDirectory Nothing people::list_passkeys;
    "person.passkey.remove" RemoveLostPasskey Nothing people::remove_passkey;
    "person.erase" ErasePersonal Nothing people::erase;
    "org.keys" ReadDirectory Nothing orgs::keys;
    "org.rotate_key" SetOrg Nothing orgs::rotate_key;
    "team.add" RunDirectory Nothing teams::add;
    "team.list" ReadDirectory Nothing teams::list;
    "team.show" ReadDirectory Nothing teams::show;
    "team.role" RunDirectory Nothing teams::role;
    "team.members" RunDirectory Nothing teams::members;
    "team.join" RunDirectory Nothing teams::join;
    "team.leave" RunDirectory Nothing teams::leave;
    "team.disable" TakePersonOutOfUse Nothing teams::disable;
    "team.enable" RunDirectory Nothing teams::enable;
    "client.add" RunDirectory Nothing clients::add;
    "client.list" ReadDirectory Nothing clients::list;
    "client.show" ReadThing Client clients::show;
    "client.disable" TakeOutOfUse Client clients::disable;
    "client.enable" RunDirectory Nothing clients::enable;
    "client.require" RunDirectory Nothing step_up::client;
    "client.environment" RunDirectory Nothing clients::environment;
    "client.fapi" RunDirectory Nothing clients::fapi;
    "client.documents.allow" RunDirectory Nothing documents::allow;
    "client.documents.list" ReadDirectory Nothing documents::list;
    "client.documents.forbid" RunDirectory Nothing documents::forbid;
    "client.registration.allow" RunDirectory Nothing registration::allow;
    "client.registration.show" ReadDirectory Nothing registration::show;
    "client.registration.token" RunDirectory Nothing registration::token;
    "client.registration.forbid" RunDirectory Nothing registration::forbid;
    "client.rotate" RotateProof Client client_proofs::rotate;
    "client.secret.list" ReadThing Client client_proofs::list_secrets;
    "client.secret.remove" RotateProof Client client_proofs::remove_secret;
    "client.key.add" RotateProof Client client_proofs::add_keys;
    "client.key.list" ReadThing Client client_proofs::list_keys;
    "client.key.remove" RotateProof Client client_proofs::remove_key;
    "resource.add" RunDirectory Nothing resources::add;
    "resource.list" ReadDirectory Nothing resources::list;
    "resource.show" ReadThing Resource resources::show;
    "resource.disable" TakeOutOfUse Resource resources::disable;
    "resource.enable" RunDirectory Nothing resources::enable;
    "resource.require" RunDirectory Nothing step_up::resource;
    "trust.add" RunDirectory Nothing trusts::add;
    "trust.list" ReadDirectory Nothing trusts::list;
    "trust.show" ReadThing Trust trusts::show;
    "trust.disable" TakeOutOfUse Trust trusts::disable;
    "trust.enable" RunDirectory Nothing trusts::enable;
    "trust.lint" ReadDirectory Nothing trusts::lint;
    "trust.test" ReadDirectory Nothing trusts::test;
    "key.add" RunDirectory Nothing keys::add;
    "key.list" ReadDirectory Nothing keys::list;
    "key.show" ReadThing Key keys::show;
    "key.users" ReadThing Key keys::users;
    "key.rotate" RotateProof Key keys::rotate;
    "key.revoke" TakeOutOfUse Key keys::revoke;
    "key.migrate" RotateProof Key keys::migrate;
    "owner.list" ReadOwn Nothing owners::list;
    "notice.list" ReadOwn Nothing notices::list;
    "notice.read" ReadOwn Nothing notices::read;
    "owner.transfer" RunDirectory Nothing owners::transfer;
    "device.list" ReadDirectory Nothing devices::list;
    "device.approve" ApproveLocally Nothing devices::approve;
    "session.list" ReadDirectory Nothing sessions::list;
    "session.end" EndAnySession Nothing sessions::end;
    "agent.list" ReadDirectory Nothing agents::list;
    "agent.retire" TakePersonOutOfUse Nothing agents::retire;
    "run.list" ReadDirectory Nothing agents::list_runs;
    "run.end" EndAnySession Nothing agents::end_run;
    "run.end_all" EndAnySession Nothing agents::end_all;
    "lineage.show" ReadDirectory Nothing lineage::show;
    "cut" EndAnySession Nothing sessions::cut;
    "backup" BackUp Nothing backups::backup;
    "ledger.page" ReadLedger Nothing ledger::page;
    "ledger.checkpoint" ReadLedger Nothing ledger::checkpoint;
    "ledger.prove" ReadLedger Nothing ledger::prove;
}

/// The one verb that is answered line by line.
const LEDGER_LIST: Verb = verb!("ledger.list" ReadLedger Nothing ledger::list, as_it_is);

/// The verb of this name.
pub fn find(name: &str) -> Option<&'static Verb> {
    all().find(|verb| verb.name == name)
}

/// Every verb.
pub(crate) fn all() -> impl Iterator<Item = &'static Verb> {
    TABLE.iter().chain([&LEDGER_LIST])
}

impl Verb {
    /// Does it in this office, if it may be done there. Nothing else is done.
    pub async fn answer(&self, office: Office, question: Bytes) -> Result<Body, Refused> {
        (self.answer)(office, question).await
    }

    /// As it is called.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The act of the table of roles that it is.
    pub(crate) fn act(&self) -> Act {
        self.act
    }

    /// Whose owner may do it, in words.
    pub(crate) fn for_owner(&self) -> &'static str {
        match self.about {
            About::Nothing => "",
            About::Client => " of the client",
            About::Resource => " of the resource",
            About::Trust => " of the trust's client",
            About::Key => " of the API key",
        }
    }

    /// Whether it only looks.
    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.act, Act::ReadDirectory | Act::ReadThing | Act::ReadLedger | Act::ReadOwn)
    }

    /// Whether somebody of an org may do it, and not the operator alone.
    pub(crate) fn is_of_an_org(&self) -> bool {
        Role::IN_ORG.into_iter().chain([Role::Person]).any(|role| may(role, self.act))
    }

    /// Whether it is answered line by line.
    pub(crate) fn is_by_line(&self) -> bool {
        self.name == LEDGER_LIST.name
    }

    /// What JSON is asked, and what answered.
    pub(crate) fn shapes(&self, schemas: &mut Schemas) -> (Value, Value) {
        (self.shapes)(schemas)
    }
}

fn shapes<Q: Question, A: Shape>(
    _: impl AsyncFn(&Office, Q) -> Result<A, Refused>,
    schemas: &mut Schemas,
) -> (Value, Value) {
    (Q::shape(schemas), A::shape(schemas))
}

/// The entries of the ledger, one a line.
impl Shape for Body {
    fn shape(schemas: &mut Schemas) -> Value {
        EntryShown::shape(schemas)
    }
}

/// A body that is there already.
pub fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

fn read<Q: DeserializeOwned>(question: &[u8]) -> Result<Q, Refused> {
    // The members have names: a list of them, which would be read in their order, is not taken.
    if question.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refused::usage("the question is not a JSON object"));
    }
    serde_json::from_slice(question)
        .map_err(|error| Refused::usage(format_args!("the question is not as expected: {error}")))
}

fn as_it_is(answer: Body) -> Result<Body, Refused> {
    Ok(answer)
}

fn give<A: Serialize>(answer: A) -> Result<Body, Refused> {
    Ok(whole(serde_json::to_vec(&answer).expect("an answer is plain data").into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hallpass_model::role;

    #[test]
    fn every_verb_is_an_act_that_the_table_of_roles_gives_the_operator() {
        for verb in all() {
            assert!(may(Role::Operator, verb.act), "{}", verb.name);
        }
    }

    #[test]
    fn every_act_of_the_operator_has_a_verb() {
        let acts =
            role::TABLE.iter().filter(|(_, roles)| roles.contains(&Role::Operator)).map(|(act, _)| *act);
        for act in acts {
            assert!(all().any(|verb| verb.act == act), "{act:?}");
        }
    }

    #[test]
    fn no_verb_stands_twice() {
        let mut names: Vec<_> = all().map(|verb| verb.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
    }

    /// What is of no org cannot be confined to one by its question: these look at the office themselves.
    #[test]
    fn what_somebody_of_an_org_may_ask_says_of_which_org_it_is() {
        let mut schemas = Schemas::new();
        for verb in all().filter(|verb| verb.is_of_an_org()) {
            let (question, _) = verb.shapes(&mut schemas);
            let name = question["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let confined = schemas[name]["properties"].get("org").is_some();
            assert_eq!(confined, !matches!(verb.name, "ledger.checkpoint" | "ledger.prove"), "{}", verb.name);
        }
    }

    #[test]
    fn a_verb_whose_thing_has_an_owner_is_theirs_and_names_the_thing() {
        for verb in all() {
            assert_eq!(verb.about != About::Nothing, may(Role::Owner, verb.act), "{}", verb.name);
        }
    }
}
