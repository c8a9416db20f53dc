//! Pages of a person's account.

use askama::Template;

use super::when::Moment;
use super::{Frame, OrgHead};

/// One session, as its person sees it.
#[derive(Debug, Clone)]
pub(crate) struct SessionLine {
    pub(crate) id: String,
    pub(crate) client: String,
    /// The machine's name, as its holder claimed it.
    pub(crate) device: Option<String>,
    /// What sort of machine it is and where the key rests there, as its holder claimed them.
    pub(crate) machine: Option<String>,
    pub(crate) purpose: Option<String>,
    /// Whether it was approved through the admin socket, without the person.
    pub(crate) local: bool,
    /// How it was approved, in words.
    pub(crate) approval: &'static str,
    /// The resources it reaches, if any.
    pub(crate) reach: Option<String>,
    pub(crate) began: Moment,
    pub(crate) used: Moment,
    pub(crate) ends: Moment,
}

/// A session that was ended because somebody used a copy of its token, as its person is told.
#[derive(Debug, Clone)]
pub(crate) struct StolenLine {
    pub(crate) client: String,
    /// The machine's name, as its holder claimed it.
    pub(crate) device: Option<String>,
    pub(crate) ended: Moment,
}

/// A machine whose sign-ins were found on another, as its person is told.
#[derive(Debug, Clone)]
pub(crate) struct CopiedLine {
    /// The machine's name, as its holder claimed it.
    pub(crate) device: String,
    /// The name of the one that found the copy.
    pub(crate) found_on: Option<String>,
    pub(crate) at: Moment,
}

/// `GET /{org}/sessions`.
#[derive(Template)]
#[template(path = "sessions.html")]
pub(crate) struct SessionsPage {
    pub(crate) frame: Frame,
    pub(crate) org: OrgHead,
    pub(crate) csrf: String,
    pub(crate) sessions: Vec<SessionLine>,
    /// Whether these are the newest.
    pub(crate) newest: bool,
    /// Where the older ones begin.
    pub(crate) next: Option<String>,
    /// Those that were stolen of late.
    pub(crate) stolen: Vec<StolenLine>,
    /// Machines whose sign-ins were found elsewhere of late.
    pub(crate) copied: Vec<CopiedLine>,
    /// When this browser logged in.
    pub(crate) browser: Moment,
    pub(crate) notice: Option<&'static str>,
}

/// One run of an agent.
#[derive(Debug, Clone)]
pub(crate) struct RunEntry {
    pub(crate) id: String,
    pub(crate) agent: String,
    /// As whoever began it claimed.
    pub(crate) purpose: String,
    pub(crate) scope: String,
    /// The APIs it had passes for.
    pub(crate) resources: String,
    /// What of its budget it has used, in words.
    pub(crate) used: String,
    /// What it ran out of.
    pub(crate) spent: Option<&'static str>,
    pub(crate) started_by_run: bool,
    pub(crate) began: Moment,
    pub(crate) seen: Moment,
    pub(crate) ends: Moment,
}

/// One agent.
#[derive(Debug, Clone)]
pub(crate) struct AgentEntry {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) scope: String,
    pub(crate) longest: String,
}

/// `GET /{org}/agents`.
#[derive(Template)]
#[template(path = "agents.html")]
pub(crate) struct AgentsPage {
    pub(crate) frame: Frame,
    pub(crate) org: OrgHead,
    pub(crate) csrf: String,
    pub(crate) runs: Vec<RunEntry>,
    pub(crate) agents: Vec<AgentEntry>,
    pub(crate) notice: Option<&'static str>,
}

/// Something that a person is told.
#[derive(Debug, Clone)]
pub(crate) struct NoticeLine {
    pub(crate) new: bool,
    pub(crate) at: Moment,
    /// What happened, in plain words.
    pub(crate) event: &'static str,
    pub(crate) what: String,
    pub(crate) who: String,
    pub(crate) why: String,
    /// The entry of the ledger.
    pub(crate) seq: u64,
}

/// `GET /{org}/notices`.
#[derive(Template)]
#[template(path = "notices.html")]
pub(crate) struct NoticesPage {
    pub(crate) frame: Frame,
    pub(crate) org: OrgHead,
    pub(crate) csrf: String,
    /// Newest first.
    pub(crate) lines: Vec<NoticeLine>,
    /// The newest that is not read yet.
    pub(crate) newest: Option<u64>,
}

/// One passkey.
#[derive(Debug, Clone)]
pub(crate) struct PasskeyLine {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) added: Moment,
    pub(crate) used: Option<Moment>,
}

/// `GET /{org}/passkeys`.
#[derive(Template)]
#[template(path = "passkeys.html")]
pub(crate) struct PasskeysPage {
    pub(crate) frame: Frame,
    pub(crate) org: OrgHead,
    pub(crate) csrf: String,
    pub(crate) passkeys: Vec<PasskeyLine>,
    pub(crate) notice: Option<&'static str>,
}
