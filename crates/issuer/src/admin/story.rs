//! An entry of the ledger as a person reads it: who did what to what, and why.

use std::collections::HashMap;

use hallpass_model::id::{ClientId, OrgId, PrincipalId, ResourceId};
use hallpass_model::ledger::{Actor, Entry, Event, Field, Key, Value};
use hallpass_store::LedgerEntry;

use super::forms::EntryShown;
use super::office::Office;

/// Tells entries one after another, and remembers the names it looked up.
pub(super) struct Story {
    office: Office,
    principals: HashMap<PrincipalId, String>,
    clients: HashMap<ClientId, String>,
    orgs: HashMap<OrgId, String>,
}

/// Names remembered at most: a long walk through the ledger must not hold everybody in memory.
const NAMES_MAX: usize = 4_096;

impl Story {
    /// A story told from this office.
    pub(super) fn new(office: Office) -> Self {
        Self { office, principals: HashMap::new(), clients: HashMap::new(), orgs: HashMap::new() }
    }

    /// Tells one entry. What cannot be read is shown as it is kept.
    pub(super) async fn tell(&mut self, kept: LedgerEntry) -> EntryShown {
        let mut whole: serde_json::Value =
            serde_json::from_str(&kept.leaf).unwrap_or(serde_json::Value::Null);
        let personal: Vec<(String, String)> = kept
            .personal
            .iter()
            .flat_map(|personal| personal.iter())
            .map(|(field, text)| (field.to_owned(), text.to_owned()))
            .collect();
        if let (Some(members), false) = (whole.as_object_mut(), personal.is_empty()) {
            // The leaf holds only their hash; what they say stands beside it.
            members.insert(
                "personal_fields".to_owned(),
                serde_json::json!(personal.iter().cloned().collect::<HashMap<_, _>>()),
            );
        }
        let Ok(entry) = kept.entry() else {
            let why = "written by a newer version, or damaged: `hallpass ledger verify` tells".to_owned();
            return EntryShown {
                seq: kept.seq,
                at: "-".into(),
                event: "-".into(),
                who: "-".into(),
                what: "-".into(),
                why,
                entry: whole,
            };
        };
        let personal = |field: Field| {
            personal.iter().find(|(name, _)| name == field.text()).map(|(_, text)| text.clone())
        };
        EntryShown {
            seq: kept.seq,
            at: entry.at.to_string(),
            event: entry.event.text().to_owned(),
            who: self.who(&entry).await,
            what: self.what(&entry).await,
            why: why(
                &entry,
                personal(Field::Purpose)
                    .or_else(|| personal(Field::Name))
                    .or_else(|| personal(Field::Remark)),
            ),
            entry: whole,
        }
    }

    /// Who did it.
    async fn who(&mut self, entry: &Entry) -> String {
        match entry.actor {
            Actor::Principal(id) => self.principal(id).await,
            Actor::Client(id) => self.client(id).await,
            Actor::Operator => "operator".to_owned(),
            Actor::System => "hallpass".to_owned(),
            Actor::Nobody => "nobody".to_owned(),
        }
    }

    /// To what: the narrowest thing it names, and whose it is.
    async fn what(&mut self, entry: &Entry) -> String {
        let mut words = Vec::new();
        let detail = |key: Key| entry.detail.find(&key).map(text).filter(|text| !text.is_empty());
        let (kind, slug) = (detail(Key::KIND).or_else(|| detail(Key::AXIS)), detail(Key::SLUG));
        let is = |word: &str| kind.as_deref() == Some(word);
        words.extend(kind.clone());
        words.extend(slug.clone());
        if let Some(id) = entry.principal.filter(|id| entry.actor != Actor::Principal(*id)) {
            let of = if is("person") || is("principal") { "" } else { "of " };
            words.push(format!("{of}{}", self.principal(id).await));
        }
        if let Some(id) = entry.client.filter(|id| entry.actor != Actor::Client(*id)) {
            let name = self.client(id).await;
            // A client's own entry has said its name.
            if slug.as_deref() != Some(&name) && !is("resource") {
                words.push(if is("client") { name } else { format!("with {name}") });
            }
        }
        match detail(Key::URL) {
            Some(url) => words.push(url),
            None => words.extend(entry.resource.map(resource)),
        }
        if entry.event == Event::OwnerChanged
            && let Some(owner) = detail(Key::OWNER)
        {
            words.push(format!("to {}", self.owner(&owner).await));
        }
        words.extend(entry.session.map(|id| id.to_string()));
        words.extend(entry.credential.filter(|_| entry.session.is_none()).map(|id| id.to_string()));
        words.extend(entry.lease.map(|id| id.to_string()));
        if words.is_empty()
            && let Some(org) = entry.org
        {
            words.push(self.org(org).await);
        }
        words.join(" ")
    }

    async fn principal(&mut self, id: PrincipalId) -> String {
        if let Some(name) = self.principals.get(&id) {
            return name.clone();
        }
        let found = self.office.store().find_person(id).await.ok().flatten();
        let name = found.map_or_else(|| id.to_string(), |person| person.handle.to_string());
        remember(&mut self.principals, id, name)
    }

    async fn client(&mut self, id: ClientId) -> String {
        if let Some(name) = self.clients.get(&id) {
            return name.clone();
        }
        let found = self.office.store().find_client(id).await.ok().flatten();
        let name = found.map_or_else(|| id.to_string(), |client| client.handle.to_string());
        remember(&mut self.clients, id, name)
    }

    /// The short name of whoever answers for something, by their id.
    async fn owner(&mut self, id: &str) -> String {
        if let Ok(person) = id.parse() {
            return self.principal(person).await;
        }
        let team = match id.parse() {
            Ok(team) => self.office.store().find_team(team).await.ok().flatten(),
            Err(_) => None,
        };
        team.map_or_else(|| id.to_owned(), |team| format!("team {}", team.handle))
    }

    async fn org(&mut self, id: OrgId) -> String {
        if let Some(name) = self.orgs.get(&id) {
            return name.clone();
        }
        let name = self.office.org_name(id).await.unwrap_or_else(|_| id.to_string());
        remember(&mut self.orgs, id, name)
    }
}

fn remember<K: std::hash::Hash + Eq>(names: &mut HashMap<K, String>, id: K, name: String) -> String {
    if names.len() < NAMES_MAX {
        names.insert(id, name.clone());
    }
    name
}

fn resource(id: ResourceId) -> String {
    format!("for {id}")
}

/// Why: the rule's word, and what the person said it was for.
fn why(entry: &Entry, said: Option<String>) -> String {
    let detail = |key: Key| entry.detail.find(&key).map(text).filter(|text| !text.is_empty());
    let mut words: Vec<String> =
        [Key::REASON, Key::RULE, Key::ERROR, Key::CHANGE].into_iter().filter_map(detail).collect();
    words.extend(detail(Key::SCOPE).map(|scope| format!("scope `{scope}`")));
    words.extend(detail(Key::COUNT).filter(|count| count != "1").map(|count| format!("{count} times")));
    words.extend(said.map(|said| format!("\u{201c}{said}\u{201d}")));
    words.join(", ")
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
    }
}
