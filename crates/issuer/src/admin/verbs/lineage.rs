//! What came of what, to be drawn: a person, their machines, the sessions on these, the runs of agents and the passes below.

use hallpass_model::cut::Why;
use hallpass_model::id::{CredentialId, LeaseId, PrincipalId, SessionId};
use hallpass_model::principal::Principal;
use hallpass_model::time::Timestamp;
use hallpass_store::{Lease, LeaseState, Run, SessionLineage};

use crate::admin::forms::{LineageAsk, LineageNode, LineageShown};
use crate::admin::office::Office;
use crate::admin::refused::Refused;

/// Nodes of one lineage, at most: more are no picture any more.
const NODES_MAX: usize = 120;
/// A person's sessions in one, at most.
const SESSIONS_MAX: u32 = 20;

pub(super) async fn show(office: &Office, form: LineageAsk) -> Result<LineageShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let of = form.of.trim();
    let absent = || {
        Refused::not_there(format_args!(
            "nothing is known of `{of}` any more, or it is nothing of `{}`",
            org.name
        ))
        .hint("what is over is forgotten in time; the ledger says what it was, by its session or its person")
    };
    let (person, sessions, mut more) = match of.parse::<PrincipalId>() {
        Ok(id) => {
            let person = office.store().find_person(id).await?.ok_or_else(absent)?;
            let listed = office.store().list_sessions_of(id, None, SESSIONS_MAX, office.now()).await?;
            let sessions = listed.items.iter().map(|summary| summary.session.id).collect();
            (Some(person), sessions, listed.next.is_some())
        }
        Err(_) => (None, vec![session_of(office, of).await?.ok_or_else(absent)?], false),
    };
    let mut lineages = Vec::new();
    for session in sessions {
        let lineage = office.store().lineage_of(session, NODES_MAX as u32, office.now()).await?;
        lineages.extend(lineage.filter(|lineage| lineage.summary.session.org == org.id));
    }
    let person = match (person, lineages.first()) {
        (Some(person), _) => Some(person),
        (None, Some(lineage)) => office.store().find_person(lineage.summary.session.principal).await?,
        (None, None) => None,
    };
    let person = person.filter(|person| person.org == org.id).ok_or_else(absent)?;
    let mut tree = Tree { nodes: Vec::new(), now: office.now() };
    tree.person(&person);
    for lineage in &lineages {
        more |= lineage.more;
        tree.session(&person, lineage);
    }
    more |= tree.nodes.len() > NODES_MAX;
    tree.nodes.truncate(NODES_MAX);
    Ok(LineageShown { of: of.to_owned(), nodes: tree.nodes, more })
}

/// The session that this is, or below which this run, lease or pass stands.
async fn session_of(office: &Office, of: &str) -> Result<Option<SessionId>, Refused> {
    if let Ok(session) = of.parse::<SessionId>() {
        return Ok(Some(session));
    }
    if let Ok(lease) = of.parse::<LeaseId>() {
        return Ok(office.store().find_lease(lease).await?.and_then(|lease| lease.session));
    }
    let credential: CredentialId = of.parse().map_err(|_| {
        Refused::usage(format_args!("`{of}` is none that has a lineage"))
            .hint("name a person (`prn_`), a session (`ses_`), a run or a pass (`crd_`), or a lease (`lse_`)")
    })?;
    if let Some(run) = office.store().find_run(credential).await? {
        return Ok(Some(run.session));
    }
    Ok(office.store().find_lease_of(credential).await?.and_then(|lease| lease.session))
}

/// Nodes, each after what it came of.
struct Tree {
    nodes: Vec<LineageNode>,
    now: Timestamp,
}

impl Tree {
    fn person(&mut self, person: &Principal) {
        let cut = (!person.standing.is_active()).then_some(Why::Disabled);
        let about = person.handle.to_string();
        self.add(person.id.to_string(), None, "person", &person.name, about, self.state(cut, None));
    }

    fn session(&mut self, person: &Principal, lineage: &SessionLineage) {
        let session = &lineage.summary.session;
        let mut above = person.id.to_string();
        if let Some(device) = &lineage.summary.device {
            let id = device.id.to_string();
            if self.nodes.iter().all(|node| node.id != id) {
                let state = self.state(None, None);
                self.add(id.clone(), Some(above), "device", &device.name, device.class.to_string(), state);
            }
            above = id;
        }
        let id = session.id.to_string();
        let about = session.grant.purpose.as_ref().map(ToString::to_string).unwrap_or_default();
        let state = self.state(lineage.cut, Some(session.expires.min(session.idle_until)));
        self.add(id, Some(above), "session", &lineage.summary.client_name, about, state);
        // A run is older than those it started, and so stands after them.
        for run in lineage.runs.iter().rev() {
            self.run(lineage, run);
        }
        for lease in &lineage.leases {
            self.lease(lineage, lease);
        }
    }

    fn run(&mut self, lineage: &SessionLineage, run: &Run) {
        let above = self.above(run.above, lineage);
        let state = self.state(run.ended.map(|(_, why)| why).or(lineage.cut), Some(run.expires));
        let (name, purpose) = (run.handle.to_string(), run.purpose.to_string());
        self.add(run.id.to_string(), Some(above), "run", &name, purpose, state);
    }

    fn lease(&mut self, lineage: &SessionLineage, lease: &Lease) {
        let above = self.above(lease.run, lineage);
        let about = match lease.state {
            LeaseState::Connected { .. } => "held now",
            LeaseState::Awaited { .. } => "not held now, and over in seconds if that stays",
        };
        let state = self.state(lineage.cut, Some(lease.expires));
        self.add(
            lease.credential.to_string(),
            Some(above),
            "pass",
            "for one command",
            about.to_owned(),
            state,
        );
    }

    /// The run that something came of, if that is shown; else the session.
    fn above(&self, run: Option<CredentialId>, lineage: &SessionLineage) -> String {
        let run = run.map(|run| run.to_string());
        run.filter(|run| self.nodes.iter().any(|node| node.id == *run))
            .unwrap_or_else(|| lineage.summary.session.id.to_string())
    }

    fn state(&self, cut: Option<Why>, ends: Option<Timestamp>) -> State {
        let state = match (cut, ends) {
            (Some(_), _) => "cut",
            (None, Some(ends)) if self.now >= ends => "over",
            (None, _) => "alive",
        };
        (state, cut, ends)
    }

    fn add(
        &mut self,
        id: String,
        above: Option<String>,
        sort: &str,
        name: &str,
        about: String,
        (state, why, ends): State,
    ) {
        self.nodes.push(LineageNode {
            id,
            above,
            sort: sort.to_owned(),
            name: name.to_owned(),
            about,
            state: state.to_owned(),
            why: why.map(|why| why.text().to_owned()),
            ends: ends.map(|ends| ends.to_string()),
        });
    }
}

/// Whether it lives, why not if it was cut, and when it ends by itself.
type State = (&'static str, Option<Why>, Option<Timestamp>);
