//! The console's pages.

use askama::Template;

use super::when::Moment;
use super::{Frame, OrgHead};
use crate::admin::forms::Revealed;

/// What stands around every page of the console.
#[derive(Debug, Clone)]
pub(crate) struct Chrome {
    pub(crate) org: OrgHead,
    pub(crate) csrf: String,
    pub(crate) tabs: Vec<Go>,
    pub(crate) notice: Option<String>,
}

/// A way to go.
#[derive(Debug, Clone)]
pub(crate) struct Go {
    pub(crate) href: String,
    pub(crate) label: String,
    /// Whether one is there.
    pub(crate) here: bool,
}

/// A part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Text(String),
    /// Where to, and what that is called.
    Link(String, &'static str),
}

/// A part of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// There is nothing to say.
    Nothing,
    Text(String),
    Code(String),
    /// What somebody claimed.
    Claimed(String),
    /// What to do, as a sentence.
    Hint(Vec<Said>),
    /// What is typed into a terminal, one after the other.
    Commands(Vec<String>),
    Time(Moment),
    /// A state: how it looks, and what it is.
    Tag(&'static str, String),
    /// Where to, and what it is called.
    Link(String, String),
}

/// What is said of a thing under one label.
#[derive(Debug, Clone, Template)]
#[template(path = "console_cell.html")]
pub(crate) struct Cell {
    pub(crate) label: &'static str,
    pub(crate) pieces: Vec<Piece>,
}

impl Cell {
    /// Whether nothing is said.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// `GET /{org}/admin`.
#[derive(Template)]
#[template(path = "console_front.html")]
pub(crate) struct FrontPage {
    pub(crate) frame: Frame,
    pub(crate) chrome: Chrome,
    /// What whoever looks is here.
    pub(crate) roles: Vec<&'static str>,
    /// Address, title, and what is there.
    pub(crate) ways: Vec<(String, &'static str, &'static str)>,
    /// Whether they may have a lineage drawn, and where.
    pub(crate) draws: bool,
    pub(crate) lineage: String,
}

/// `GET /{org}/admin/{page}`.
#[derive(Template)]
#[template(path = "console_list.html")]
pub(crate) struct ListPage {
    pub(crate) frame: Frame,
    pub(crate) chrome: Chrome,
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) labels: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// Where one is added, and the button.
    pub(crate) add: Option<(String, &'static str)>,
    /// Where one is looked up by its name.
    pub(crate) go: String,
    pub(crate) next: Option<String>,
    /// Whether these are the first.
    pub(crate) first: bool,
}

/// `GET /{org}/admin/owned`.
#[derive(Template)]
#[template(path = "console_owned.html")]
pub(crate) struct OwnedPage {
    pub(crate) frame: Frame,
    pub(crate) chrome: Chrome,
    pub(crate) labels: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A line of a list, with what can be done to it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) cells: Vec<Cell>,
    /// Address and button.
    pub(crate) actions: Vec<(String, &'static str)>,
}

/// A list that belongs to one thing.
#[derive(Debug, Clone)]
pub(crate) struct PartShown {
    pub(crate) title: &'static str,
    pub(crate) empty: &'static str,
    pub(crate) labels: Vec<&'static str>,
    /// Whether each line stands for itself, and in no table.
    pub(crate) each: bool,
    /// Whether anything can be done to a line.
    pub(crate) acts: bool,
    pub(crate) rows: Vec<Row>,
    /// How many are not shown.
    pub(crate) more: usize,
}

/// `GET /{org}/admin/{page}?of=`.
#[derive(Template)]
#[template(path = "console_one.html")]
pub(crate) struct OnePage {
    pub(crate) frame: Frame,
    pub(crate) chrome: Chrome,
    /// Where all of its kind are, and what they are called.
    pub(crate) all: Option<(String, &'static str)>,
    pub(crate) title: String,
    /// What it is, where there is one alone.
    pub(crate) about: Option<&'static str>,
    /// That there is none.
    pub(crate) none: Option<&'static str>,
    /// Whether it is whoever looks.
    pub(crate) yourself: bool,
    pub(crate) facts: Vec<Cell>,
    pub(crate) parts: Vec<PartShown>,
    /// Address, button, what it does, and whether something ends by it.
    pub(crate) actions: Vec<(String, &'static str, &'static str, bool)>,
    /// Where the ledger's entries about it are.
    pub(crate) ledger: Option<String>,
}

/// Something asked for.
#[derive(Debug, Clone)]
pub(crate) struct FieldShown {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) help: &'static str,
    pub(crate) required: bool,
    pub(crate) input: InputShown,
}

/// How it is asked for, and what stands there.
#[derive(Debug, Clone)]
pub(crate) enum InputShown {
    Line(String),
    Number(String),
    Lines(String),
    Yes(bool),
    Secret,
    /// As it is written, in words, and whether it is this one.
    Choice(Vec<(&'static str, &'static str, bool)>),
    /// Likewise.
    Several(Vec<(&'static str, &'static str, bool)>),
}

/// `GET /{org}/admin/{page}?do=`.
#[derive(Template)]
#[template(path = "console_form.html")]
pub(crate) struct FormPage {
    pub(crate) frame: Frame,
    pub(crate) chrome: Chrome,
    /// Where it is posted.
    pub(crate) action: String,
    pub(crate) name: &'static str,
    pub(crate) of: Option<String>,
    pub(crate) which: Option<String>,
    /// To what it is done, as people read it.
    pub(crate) what: String,
    pub(crate) title: &'static str,
    pub(crate) told: &'static str,
    pub(crate) ends: bool,
    /// Whether anything is changed by it.
    pub(crate) changes: bool,
    pub(crate) fields: Vec<FieldShown>,
    /// What was wrong, and what to do.
    pub(crate) error: Option<(String, Vec<Said>)>,
    pub(crate) back: String,
}

/// A secret that was made.
#[derive(Template)]
#[template(path = "console_made.html")]
pub(crate) struct MadePage {
    pub(crate) frame: Frame,
    pub(crate) chrome: Chrome,
    pub(crate) title: &'static str,
    pub(crate) what: String,
    pub(crate) told: &'static str,
    pub(crate) secret: Revealed,
    pub(crate) back: String,
}

/// What a trust says of one claim of a token.
#[derive(Debug, Clone)]
pub(crate) struct WeighedLine {
    pub(crate) claim: String,
    pub(crate) wanted: String,
    pub(crate) found: Option<String>,
    pub(crate) holds: bool,
}

/// How a token stands to a trust.
#[derive(Debug, Clone)]
pub(crate) struct WeighedTrust {
    pub(crate) lets_in: bool,
    /// What is wrong with the token itself.
    pub(crate) wrong: Option<String>,
    pub(crate) lines: Vec<WeighedLine>,
}

/// What is said of a token that was pasted.
#[derive(Template)]
#[template(path = "console_weighed.html")]
pub(crate) struct WeighedPage {
    pub(crate) frame: Frame,
    pub(crate) chrome: Chrome,
    pub(crate) title: &'static str,
    pub(crate) what: String,
    /// Why no trust was looked at.
    pub(crate) nobody: Option<String>,
    pub(crate) trusts: Vec<WeighedTrust>,
    /// Where another is pasted.
    pub(crate) again: String,
    pub(crate) back: String,
}

/// An entry of the ledger.
#[derive(Debug, Clone)]
pub(crate) struct EntryLine {
    pub(crate) seq: u64,
    pub(crate) at: Option<Moment>,
    pub(crate) event: String,
    pub(crate) who: String,
    pub(crate) what: String,
    pub(crate) why: String,
    /// Where to, and what it is called.
    pub(crate) links: Vec<(String, &'static str)>,
    pub(crate) proof: String,
}

/// `GET /{org}/admin/ledger`.
#[derive(Template)]
#[template(path = "console_ledger.html")]
pub(crate) struct LedgerPage {
    pub(crate) frame: Frame,
    pub(crate) chrome: Chrome,
    pub(crate) go: String,
    /// What is looked for: name, label, help, and what was typed.
    pub(crate) by: Vec<(&'static str, &'static str, &'static str, String)>,
    /// Every event, and whether it is the one looked for.
    pub(crate) events: Vec<(&'static str, bool)>,
    /// Whether anything is looked for.
    pub(crate) filtered: bool,
    pub(crate) entries: Vec<EntryLine>,
    pub(crate) older: Option<String>,
    /// Whether these are the newest.
    pub(crate) newest: bool,
}

/// `GET /{org}/admin/ledger?proof=`.
#[derive(Template)]
#[template(path = "console_proof.html")]
pub(crate) struct ProofPage {
    pub(crate) frame: Frame,
    pub(crate) chrome: Chrome,
    pub(crate) seq: u64,
    /// Of how many entries the ledger is.
    pub(crate) size: u64,
    pub(crate) proof: String,
    /// The ledger's public key.
    pub(crate) key: String,
    pub(crate) back: String,
}

/// A node of a lineage, drawn.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) x: u32,
    pub(crate) y: u32,
    /// `alive`, `cut` or `over`.
    pub(crate) state: String,
    /// Whether it is the one that was asked about.
    pub(crate) asked: bool,
    /// All of it, for whoever hears it.
    pub(crate) label: String,
    pub(crate) link: Option<String>,
    pub(crate) kicker: String,
    pub(crate) name: String,
    pub(crate) about: String,
}

/// A lineage, drawn.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) node_width: u32,
    pub(crate) node_height: u32,
    pub(crate) nodes: Vec<Drawn>,
    /// What connects them, as paths.
    pub(crate) lines: Vec<String>,
}

/// A node of a lineage as an item of a list, with what came of it.
#[derive(Debug, Clone, Template)]
#[template(path = "console_branch.html")]
pub(crate) struct Branch {
    pub(crate) sort: String,
    pub(crate) link: Option<String>,
    pub(crate) name: String,
    pub(crate) about: String,
    /// Whether that is what somebody claimed.
    pub(crate) claimed: bool,
    pub(crate) state: String,
    pub(crate) lives: bool,
    pub(crate) ends: Option<Moment>,
    pub(crate) asked: bool,
    /// Where it is ended.
    pub(crate) end: Option<String>,
    pub(crate) below: Vec<Branch>,
}

/// `GET /{org}/admin/lineage?of=`.
#[derive(Template)]
#[template(path = "console_lineage.html")]
pub(crate) struct LineagePage {
    pub(crate) frame: Frame,
    pub(crate) chrome: Chrome,
    /// Whose it is.
    pub(crate) name: String,
    pub(crate) picture: Picture,
    pub(crate) branches: Vec<Branch>,
    /// Whether there is more.
    pub(crate) more: bool,
    pub(crate) nodes: usize,
    /// The sort of the first.
    pub(crate) root: String,
    /// Where the ledger says which passes there were.
    pub(crate) passes: Option<String>,
}
