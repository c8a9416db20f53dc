//! What came of what, to be drawn: a person, their machines, the sessions on these, the runs of agents and the passes below; or a
//! client that acts for itself, with its API keys and its trusts.
//!
//! A pass that nothing holds on to is nowhere kept, and so not in the picture: it is over in minutes, and dies with what it came of.

use hallpass_model::api_key::{ApiKey, KeySecret};
use hallpass_model::client::Client;
use hallpass_model::cut::Why;
use hallpass_model::id::{ClientId, CredentialId, LeaseId, PrincipalId, SessionId};
use hallpass_model::principal::{Org, Principal, Standing};
use hallpass_model::time::Timestamp;
use hallpass_store::{ClientLineage, Lease, LeaseState, Run, SessionLineage};

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
    let mut tree = Tree { nodes: Vec::new(), now: office.now() };
    let found = match client_of(office, of).await? {
        Some(client) => draw_client(office, &org, client, &mut tree).await?,
        None => draw_person(office, &org, of, &mut tree).await?,
    };
    let mut more = found.ok_or_else(|| {
        Refused::not_there(format_args!(
            "nothing is known of `{of}` any more, or it is nothing of `{}`",
            org.name
        ))
        .hint("what is over is forgotten in time; the ledger says what it was, by its session or its person")
    })?;
    more |= tree.nodes.len() > NODES_MAX;
    tree.nodes.truncate(NODES_MAX);
    Ok(LineageShown { of: of.to_owned(), nodes: tree.nodes, more })
}

/// The client that this is, or that somebody with this API key or this secret of one comes in as.
async fn client_of(office: &Office, of: &str) -> Result<Option<ClientId>, Refused> {
    if let Ok(client) = of.parse::<ClientId>() {
        return Ok(Some(client));
    }
    let Ok(credential) = of.parse::<CredentialId>() else { return Ok(None) };
    Ok(office.store().client_of_api_key(credential).await?)
}

/// Draws a client of this org, if it is one, and says whether there is more.
async fn draw_client(
    office: &Office,
    org: &Org,
    client: ClientId,
    tree: &mut Tree,
) -> Result<Option<bool>, Refused> {
    let client = office.store().find_client(client).await?.filter(|client| client.org == org.id);
    let Some(client) = client else { return Ok(None) };
    let lineage = office.store().lineage_of_client(client.id, NODES_MAX as u32).await?;
    tree.client(&client, &lineage);
    Ok(Some(lineage.more))
}

/// Draws a person of this org, with all of theirs or with what this is of theirs, likewise.
async fn draw_person(office: &Office, org: &Org, of: &str, tree: &mut Tree) -> Result<Option<bool>, Refused> {
    let (person, sessions, mut more) = match of.parse::<PrincipalId>() {
        Ok(id) => {
            let Some(person) = office.store().find_person(id).await? else { return Ok(None) };
            let listed = office.store().list_sessions_of(id, None, SESSIONS_MAX, office.now()).await?;
            let sessions = listed.items.iter().map(|summary| summary.session.id).collect();
            (Some(person), sessions, listed.next.is_some())
        }
        Err(_) => match session_of(office, of).await? {
            Some(session) => (None, vec![session], false),
            None => return Ok(None),
        },
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
    let Some(person) = person.filter(|person| person.org == org.id) else { return Ok(None) };
    tree.person(&person);
    for lineage in &lineages {
        more |= lineage.more;
        tree.session(&person, lineage);
    }
    Ok(Some(more))
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
            .hint("name a person (`prn_`), a client (`cli_`), a session (`ses_`), a run, a pass or an API key (`crd_`), or a lease (`lse_`)")
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
        let about = person.handle.to_string();
        let state = self.state(out_of_use(person.standing), None);
        self.add(person.id.to_string(), None, "person", &person.name, about, state);
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

    fn client(&mut self, client: &Client, lineage: &ClientLineage) {
        let root = client.id.to_string();
        let cut = out_of_use(client.standing);
        let state = self.state(cut, None);
        self.add(root.clone(), None, "client", &client.name, client.handle.to_string(), state);
        for (key, secrets) in &lineage.keys {
            self.key(&root, key, secrets);
        }
        for trust in &lineage.trusts {
            let state = self.state(out_of_use(trust.standing).or(cut), None);
            let about = format!("{}, {}", trust.rule.preset, trust.environment);
            self.add(trust.id.to_string(), Some(root.clone()), "trust", trust.handle.as_str(), about, state);
        }
    }

    /// A key is as its last secret is.
    fn key(&mut self, client: &str, key: &ApiKey, secrets: &[KeySecret]) {
        let id = key.id.to_string();
        let dead =
            |secret: &KeySecret| self.state(secret.revoked.map(|(_, why)| why), Some(secret.ends(key)));
        let states: Vec<State> = secrets.iter().map(dead).collect();
        let alive = states.iter().find(|(state, _, _)| *state == "alive");
        let state = alive.or(states.last()).copied().unwrap_or(("over", None, key.ends));
        let about = key.environment.to_string();
        self.add(id.clone(), Some(client.to_owned()), "key", key.handle.as_str(), about, state);
        for (secret, state) in secrets.iter().zip(states) {
            let made = secret.created.to_string();
            let made = made.split('T').next().unwrap_or_default();
            let name = format!("made {made}");
            self.add(secret.id.to_string(), Some(id.clone()), "secret", &name, String::new(), state);
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

/// Why a thing that is not in use is not.
fn out_of_use(standing: Standing) -> Option<Why> {
    match standing {
        Standing::Active => None,
        Standing::Suspended(_) => Some(Why::Suspended),
        Standing::Disabled(_) => Some(Why::Disabled),
    }
}

/// Whether it lives, why not if it was cut, and when it ends by itself.
type State = (&'static str, Option<Why>, Option<Timestamp>);
