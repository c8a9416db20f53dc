//! The console: pages at `/{org}/admin` for whoever administers, responds, audits, or answers for something.
//!
//! 1. What there is to see and do stands in one table ([`kinds`]), whose every line is a verb of [`admin`](crate::admin).
//! 2. A page asks verbs in the person's own name, in the one [`Office`] that the HTTP API has, too: the table of roles is asked
//!    there, and nothing of another org is seen. What a page shows beside is what they may ([`seat`]).
//! 3. Every change is a form of its own (`?do=`), which wants a login of the last minutes before anything is typed, and again when
//!    it is posted. Done, it leads back (303); a secret that was made is shown in the answer itself, this once.
//!
//! [`Office`]: crate::admin::Office

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hallpass_store::CameBy;
use http::StatusCode;
use serde_json::{Value, json};

use crate::admin::{Kind as Sort, Member, Office, Refused};
use crate::pages::Here;
use crate::pages::answer::page;
use crate::pages::console::{Chrome, FrontPage, Go, ListPage, OwnedPage, Said};
use crate::trouble::Trouble;
use crate::web::Person;
use hints::Place;
use kinds::Kind;
use look::{Looking, text};
use seat::Seat;

mod acting; // a change: its form, and what comes of it
mod asking; // what a form asks, and the question that comes of it
mod hints; // what to do next, by the pages that do it
mod kinds; // what there is, as data
mod ledger; // the record, newest first, and proofs of it
mod lineage; // what came of what, as a picture
mod look; // answers of verbs, as cells of a page
mod one; // the page of one thing
mod weighed; // how a token stands to a trust, line by line
mod seat; // what whoever is logged in may see and do

pub(crate) use acting::change;

/// Things on one page of a list.
const SHOWN: u32 = 50;

/// The parts of addresses after `/admin/`, for a login that leads back.
pub(crate) fn find_page(page: &str) -> Option<&'static str> {
    let own = ["owned", "ledger"].into_iter();
    own.chain(kinds::TABLE.iter().chain([&kinds::LINEAGE]).map(|kind| kind.page)).find(|known| *known == page)
}

/// Somebody in the console.
struct Visit {
    person: Person,
    seat: Seat,
}

impl Visit {
    async fn begin(person: Person) -> Result<Self, Response> {
        match Seat::of(&person).await {
            Ok(seat) if seat.sees_anything() => Ok(Self { person, seat }),
            Ok(_) => match person.refuse_role().await {
                Ok(()) => Err(Trouble::no_role()
                    .at(person.head())
                    .link(person.path("sessions"), "Your sessions")
                    .into_response()),
                Err(trouble) => Err(trouble.at(person.head()).into_response()),
            },
            Err(refused) => {
                let next = refused.hint.as_deref().map(asking::sentence).unwrap_or_default();
                Err(refusal(&person, &refused, next).into_response())
            }
        }
    }

    /// Asks a verb in their name.
    async fn ask(&self, verb: &str, question: &Value) -> Result<Value, Refused> {
        let person = &self.person;
        let member = Member::new(person.org.org.clone(), person.person.id, CameBy::Browser(person.web.login));
        let office = Office::of_member(person.visit.issuer.clone(), member);
        let verb = crate::admin::find(verb).expect("the table of kinds names verbs that there are");
        let body = verb.answer(office, Bytes::from(question.to_string())).await?;
        let body = http_body_util::BodyExt::collect(body).await.map_err(Refused::broken)?.to_bytes();
        serde_json::from_slice(&body).map_err(Refused::broken)
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.person.visit.form.find(name)
    }

    /// The path of one of the console's pages, with what it is asked for.
    fn path(&self, page: &str, query: &[(&str, &str)]) -> String {
        address(self.person.org.org.name.as_str(), page, query)
    }

    fn looking(&self) -> Looking<'_> {
        Looking { org: self.person.org.org.name.as_str(), now: self.person.visit.now, seat: &self.seat }
    }

    /// What stands around every page of the console.
    fn chrome(&self, here: &str, notice: Option<String>) -> Chrome {
        let tab = |page: &str, title: &str| Go {
            href: self.path(page, &[]),
            label: title.to_owned(),
            here: page == here,
        };
        let seen = kinds::TABLE.iter().filter(|kind| self.seat.may(kind.entrance(), None));
        let mut tabs: Vec<Go> = seen.map(|kind| tab(kind.page, kind.title)).collect();
        if self.seat.may("ledger.page", None) {
            tabs.push(tab("ledger", "Ledger"));
        }
        if self.seat.owns {
            tabs.push(tab("owned", "What you answer for"));
        }
        Chrome { org: self.person.head(), csrf: self.person.csrf.clone(), tabs, notice }
    }

    fn no_page(&self) -> Trouble {
        Trouble::not_found().at(self.person.head())
    }
}

/// The address of a page of the console.
fn address(org: &str, page: &str, query: &[(&str, &str)]) -> String {
    let slash = if page.is_empty() { "" } else { "/" };
    let path = format!("/{org}/admin{slash}{page}");
    if query.is_empty() {
        return path;
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{path}?{query}")
}

/// Why a verb did nothing, as a page.
fn told(visit: &Visit, refused: Refused) -> Trouble {
    let (mut next, mut way) = (String::new(), None);
    for said in refused.hint.iter().flat_map(|hint| visit.looking().hint(hint, Place::default())) {
        match said {
            Said::Text(text) => next.push_str(&text),
            Said::Link(href, label) => {
                next.push_str(&format!("“{label}”"));
                way.get_or_insert((href, label));
            }
        }
    }
    let trouble = refusal(&visit.person, &refused, next);
    match way {
        Some((href, label)) => trouble.link(href, label),
        None => trouble,
    }
}

/// The same, where nothing of the console may be named.
fn refusal(person: &Person, refused: &Refused, next: String) -> Trouble {
    let title = match refused.kind {
        Sort::Refused => "You may not do that here",
        Sort::NotThere => "There is no such thing here",
        Sort::Usage | Sort::Conflict => "That did not work",
        Sort::Later => "The server is busy",
        Sort::Broken => "Something broke here",
    };
    let next = match refused.kind {
        _ if !next.is_empty() => next,
        Sort::NotThere => "It may have been mistyped, or it is of another organisation.".to_owned(),
        _ => "Go back, and try again.".to_owned(),
    };
    let trouble = Trouble::new(refused.kind.status(), title, asking::sentence(&refused.message), next);
    trouble.at(person.head()).link(person.path("admin"), "The console")
}

/// `GET /{org}/admin`: what there is.
pub(crate) async fn front(person: Person) -> Response {
    let visit = match Visit::begin(person).await {
        Ok(visit) => visit,
        Err(response) => return response,
    };
    let mut ways: Vec<_> = kinds::TABLE
        .iter()
        .filter(|kind| visit.seat.may(kind.entrance(), None))
        .map(|kind| (visit.path(kind.page, &[]), kind.title, kind.about))
        .collect();
    if visit.seat.may("ledger.page", None) {
        ways.push((visit.path("ledger", &[]), "Ledger", "What happened, newest first, with proofs."));
    }
    if visit.seat.owns {
        ways.push((visit.path("owned", &[]), "What you answer for", "Alone, or in a team."));
    }
    let shown = FrontPage {
        frame: visit.person.frame(Here::Console, "Console"),
        chrome: visit.chrome("", None),
        roles: visit.seat.words(),
        ways,
        draws: visit.seat.may("lineage.show", None),
        lineage: visit.path("lineage", &[]),
    };
    page(StatusCode::OK, &shown)
}

/// `GET /{org}/admin/{page}`: a list, one thing of it (`of`), or a form (`do`).
pub(crate) async fn show(person: Person) -> Response {
    let visit = match Visit::begin(person).await {
        Ok(visit) => visit,
        Err(response) => return response,
    };
    let shown = match visit.person.visit.segment(2) {
        "owned" => owned(&visit).await,
        "ledger" => ledger::show(&visit).await,
        name => match kinds::find(name) {
            Some(kind) => show_kind(&visit, kind).await,
            None => Err(visit.no_page()),
        },
    };
    shown.unwrap_or_else(IntoResponse::into_response)
}

async fn show_kind(visit: &Visit, kind: &'static Kind) -> Result<Response, Trouble> {
    let of = visit.find("of");
    if let Some(name) = visit.find("do") {
        let (action, part) = kind.action(name).ok_or_else(|| visit.no_page())?;
        let asked = acting::Asked::read(visit, kind, action, part).await?;
        return asked.form(visit, StatusCode::OK, None);
    }
    match (kind.list, of) {
        (Some(verb), None) => list(visit, kind, verb).await,
        (None, None) if kind.is_drawn() => Err(visit.no_page()),
        (_, of) => one::show(visit, kind, of).await,
    }
}

async fn list(visit: &Visit, kind: &'static Kind, verb: &str) -> Result<Response, Trouble> {
    let after = visit.find("after");
    let asked = json!({ "after": after, "limit": SHOWN + 1 });
    let answer = visit.ask(verb, &asked).await.map_err(|refused| told(visit, refused))?;
    let mut things = answer.as_array().cloned().unwrap_or_default();
    let more = things.len() > SHOWN as usize;
    things.truncate(SHOWN as usize);
    let next = things.last().filter(|_| more).and_then(|last| text(last, kind.name));
    let looking = visit.looking();
    let add = kind.add.as_ref().filter(|add| visit.seat.may(add.verb, None));
    let shown = ListPage {
        frame: visit.person.frame(Here::Console, kind.title),
        chrome: visit.chrome(kind.page, None),
        title: kind.title,
        about: kind.about,
        labels: kind.columns.iter().map(|column| column.label).collect(),
        rows: things.iter().map(|thing| looking.cells(kind, kind.columns, thing)).collect(),
        add: add.map(|add| (visit.path(kind.page, &[("do", add.name)]), add.label)),
        go: visit.path(kind.page, &[]),
        next: next.map(|next| visit.path(kind.page, &[("after", &next)])),
        first: after.is_none(),
    };
    Ok(page(StatusCode::OK, &shown))
}

async fn owned(visit: &Visit) -> Result<Response, Trouble> {
    let answer = visit.ask("owner.list", &json!({})).await.map_err(|refused| told(visit, refused))?;
    let looking = visit.looking();
    let things = answer.as_array().cloned().unwrap_or_default();
    let shown = OwnedPage {
        frame: visit.person.frame(Here::Console, "What you answer for"),
        chrome: visit.chrome("owned", None),
        labels: seat::OWNED.iter().map(|column| column.label).collect(),
        rows: things.iter().map(|thing| looking.cells(&kinds::LINEAGE, seat::OWNED, thing)).collect(),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// A line of the console's table, for tests that walk it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsoleLine {
    /// The page.
    pub page: &'static str,
    /// The action; nothing for the page itself.
    pub action: Option<&'static str>,
    /// The verb that it asks.
    pub verb: &'static str,
}

/// Everything that the console shows and does, for tests that walk it.
pub fn console_lines() -> Vec<ConsoleLine> {
    let mut lines = vec![ConsoleLine { page: "ledger", action: None, verb: "ledger.page" }];
    for kind in kinds::TABLE.iter().chain([&kinds::LINEAGE]) {
        lines.push(ConsoleLine { page: kind.page, action: None, verb: kind.entrance() });
        let parts = kind.parts.iter().flat_map(|part| part.actions);
        for action in kind.add.iter().chain(kind.actions).chain(parts) {
            lines.push(ConsoleLine { page: kind.page, action: Some(action.name), verb: action.verb });
        }
    }
    lines
}
