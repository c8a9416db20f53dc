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
use hallpass_model::id::{ClientId, PrincipalId};
use hallpass_store::CameBy;
use http::StatusCode;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::admin::forms::Revealed;
use crate::admin::{Kind as Sort, Member, Office, Refused};
use crate::authorize::see_other;
use crate::login::Target;
use crate::pages::Here;
use crate::pages::answer::page;
use crate::pages::console::{
    Chrome, FormPage, FrontPage, Go, ListPage, MadePage, OnePage, OwnedPage, PartShown, Row,
};
use crate::trouble::Trouble;
use crate::web::Person;
use asking::{question, shown_fields};
use kinds::{Action, From, Kind, Part};
use look::{Looking, text};
use seat::Seat;

mod asking; // forms: what is asked, and the question that comes of it
mod kinds; // what there is, as data
mod ledger; // the record, newest first, and proofs of it
mod lineage; // what came of what, as a picture
mod look; // answers of verbs, as cells of a page
mod seat; // what whoever is logged in may see and do

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
            Err(refused) => Err(told(&person, refused).into_response()),
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
fn told(person: &Person, refused: Refused) -> Trouble {
    let title = match refused.kind {
        Sort::Refused => "You may not do that here",
        Sort::NotThere => "There is no such thing here",
        Sort::Usage | Sort::Conflict => "That did not work",
        Sort::Later => "The server is busy",
        Sort::Broken => "Something broke here",
    };
    let next = match (&refused.hint, refused.kind) {
        (Some(hint), _) => asking::sentence(hint),
        (None, Sort::NotThere) => "It may have been mistyped, or it is of another organisation.".to_owned(),
        (None, _) => "Go back, and try again.".to_owned(),
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
        let asked = Asked::read(visit, kind, action, part).await?;
        return asked.form(visit, StatusCode::OK, None);
    }
    match (kind.list, of) {
        (Some(verb), None) => list(visit, kind, verb).await,
        (None, None) if kind.is_drawn() => Err(visit.no_page()),
        (_, of) => match named(visit, kind, of).await? {
            Some(name) => Ok(see_other(&visit.path(kind.page, &[("of", &name)]))),
            None => one(visit, kind, of).await,
        },
    }
}

/// The short name of a person or a client that is asked for by its id, as the ledger names it.
async fn named(visit: &Visit, kind: &Kind, of: Option<&str>) -> Result<Option<String>, Trouble> {
    let Some(of) = of.filter(|_| visit.seat.may(kind.show, None)) else { return Ok(None) };
    let (store, org) = (&visit.person.visit.issuer.store, visit.person.org.id());
    match kind.page {
        "people" => {
            let Ok(id) = of.parse::<PrincipalId>() else { return Ok(None) };
            let found = store.find_person(id).await?.filter(|found| found.org == org);
            Ok(found.map(|found| found.handle.to_string()))
        }
        "clients" => {
            let Ok(id) = of.parse::<ClientId>() else { return Ok(None) };
            let found = store.find_client(id).await?.filter(|found| found.org == org);
            Ok(found.map(|found| found.handle.to_string()))
        }
        _ => Ok(None),
    }
}

async fn list(visit: &Visit, kind: &'static Kind, verb: &str) -> Result<Response, Trouble> {
    let after = visit.find("after");
    let asked = json!({ "after": after, "limit": SHOWN + 1 });
    let answer = visit.ask(verb, &asked).await.map_err(|refused| told(&visit.person, refused))?;
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

/// The thing that is asked about.
async fn load(visit: &Visit, kind: &Kind, of: Option<&str>) -> Result<Value, Trouble> {
    let asked = match of {
        _ if kind.is_only_one() => json!({}),
        Some(of) => json!({ kind.name: of }),
        None => return Err(visit.no_page()),
    };
    visit.ask(kind.show, &asked).await.map_err(|refused| told(&visit.person, refused))
}

async fn one(visit: &Visit, kind: &'static Kind, of: Option<&str>) -> Result<Response, Trouble> {
    let thing = load(visit, kind, of).await?;
    let notice = notice(visit, kind);
    if kind.is_drawn() {
        return Ok(lineage::show(visit, kind, &thing, notice));
    }
    let owner = text(&thing, "owner");
    let name = text(&thing, kind.name).unwrap_or_default();
    let title = text(&thing, kind.heading).unwrap_or_else(|| name.clone());
    let looking = visit.looking();
    let mut parts = Vec::new();
    for part in kind.parts.iter().filter(|part| part.only.fits(&thing)) {
        if let From::Verb { verb, .. } = part.from
            && !visit.seat.may(verb, owner.as_deref())
        {
            continue;
        }
        let lines = lines(visit, kind, part, &thing).await?;
        parts.push(part_shown(visit, kind, part, &name, owner.as_deref(), &lines));
    }
    let may = |action: &&Action| {
        action.only.fits(&thing)
            && visit.seat.may(action.verb, owner.as_deref())
            && !(action.to_others && kind.page == "people" && visit.seat.is(&name))
    };
    let actions = kind.actions.iter().filter(may).map(|action| {
        (visit.path(kind.page, &[("do", action.name), ("of", &name)]), action.label, action.told, action.ends)
    });
    let about = (visit.seat.may("ledger.page", None)).then(|| match kind.page {
        "people" => Some(visit.path("ledger", &[("principal", &name)])),
        "clients" => Some(visit.path("ledger", &[("client", &name)])),
        _ => None,
    });
    let shown = OnePage {
        frame: visit.person.frame(Here::Console, &title),
        chrome: visit.chrome(kind.page, notice),
        all: kind.list.map(|_| (visit.path(kind.page, &[]), kind.title)),
        title,
        yourself: kind.page == "people" && visit.seat.is(&name),
        facts: looking.cells(kind, kind.facts, &thing).into_iter().filter(|cell| !cell.is_empty()).collect(),
        parts,
        actions: actions.collect(),
        ledger: about.flatten(),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// What is said of what was just done.
fn notice(visit: &Visit, kind: &Kind) -> Option<String> {
    let (action, _) = kind.action(visit.find("done")?)?;
    let left = " What was answered for is suspended until somebody takes it over.";
    Some(format!("{}{}", action.done, if visit.find("left").is_some() { left } else { "" }))
}

async fn lines(visit: &Visit, kind: &Kind, part: &Part, thing: &Value) -> Result<Vec<Value>, Trouble> {
    let answer = match &part.from {
        From::Member(member) => thing.get(*member).cloned(),
        From::Verb { verb, by, inside } => {
            let name = text(thing, kind.name).unwrap_or_default();
            let asked = by.map_or_else(|| json!({}), |by| json!({ by: name }));
            let answer = visit.ask(verb, &asked).await.map_err(|refused| told(&visit.person, refused))?;
            match inside {
                Some(inside) => answer.get(*inside).cloned(),
                None => Some(answer),
            }
        }
    };
    Ok(match answer {
        Some(Value::Array(lines)) => lines,
        Some(only @ Value::Object(_)) => vec![only],
        _ => Vec::new(),
    })
}

/// Lines of a list on the page of one thing, at most: there are few of most, and the page says where it stops.
const LINES_MAX: usize = 100;

fn part_shown(
    visit: &Visit,
    kind: &'static Kind,
    part: &'static Part,
    name: &str,
    owner: Option<&str>,
    lines: &[Value],
) -> PartShown {
    let looking = visit.looking();
    let yourself = kind.page == "people" && visit.seat.is(name);
    let row = |line: &Value| {
        let which = text(line, part.which).unwrap_or_default();
        let may = |action: &&Action| {
            action.only.fits(line) && visit.seat.may(action.verb, owner) && !(action.to_others && yourself)
        };
        let act = |action: &Action| {
            let query = [("do", action.name), ("of", name), ("which", &*which)];
            (visit.path(kind.page, &query), action.label)
        };
        Row {
            cells: looking.cells(kind, part.columns, line),
            actions: part.actions.iter().filter(may).map(act).collect(),
        }
    };
    PartShown {
        title: part.title,
        empty: part.empty,
        labels: part.columns.iter().map(|column| column.label).collect(),
        acts: part.actions.iter().any(|action| visit.seat.may(action.verb, owner)),
        rows: lines.iter().take(LINES_MAX).map(row).collect(),
        more: lines.len().saturating_sub(LINES_MAX),
    }
}

async fn owned(visit: &Visit) -> Result<Response, Trouble> {
    let answer = visit.ask("owner.list", &json!({})).await.map_err(|refused| told(&visit.person, refused))?;
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

/// An action that is asked for: of what kind, on which thing, on which line of its page.
struct Asked {
    kind: &'static Kind,
    action: &'static Action,
    thing: Option<Value>,
    /// The thing's name.
    of: Option<String>,
    which: Option<String>,
    /// What a person reads of the thing, or of the line.
    what: String,
}

impl Asked {
    /// Finds what it is about, if they may see it, and whether they may do it.
    async fn read(
        visit: &Visit,
        kind: &'static Kind,
        action: &'static Action,
        part: Option<&'static Part>,
    ) -> Result<Self, Trouble> {
        let adds = kind.add.as_ref().is_some_and(|add| add.name == action.name);
        let thing = if adds { None } else { Some(load(visit, kind, visit.find("of")).await?) };
        let owner = thing.as_ref().and_then(|thing| text(thing, "owner"));
        if !visit.seat.may(action.verb, owner.as_deref()) {
            visit.person.refuse_role().await.map_err(|trouble| trouble.at(visit.person.head()))?;
            return Err(told(&visit.person, visit.seat.refusal(action.verb)));
        }
        let of = thing.as_ref().and_then(|thing| text(thing, kind.name));
        let itself = of.as_deref().is_some_and(|of| kind.page == "people" && visit.seat.is(of));
        if action.to_others && itself {
            return Err(Trouble::not_yourself().at(visit.person.head()));
        }
        let which = visit.find("which").map(str::to_owned);
        let mut what = thing.as_ref().and_then(|thing| text(thing, kind.heading)).unwrap_or_default();
        if let (Some(part), Some(thing)) = (part, &thing) {
            // A line that is gone is nothing to be asked about.
            let line = lines(visit, kind, part, thing)
                .await?
                .into_iter()
                .find(|line| text(line, part.which) == which)
                .ok_or_else(|| told(&visit.person, Refused::not_there("it is not there any more")))?;
            let said = part.columns.first().and_then(|column| text(&line, column.member));
            what = said.or_else(|| which.clone()).unwrap_or_default();
        }
        Ok(Self { kind, action, thing, of, which, what })
    }

    /// The page they came from.
    fn back(&self, visit: &Visit) -> String {
        match &self.of {
            Some(of) => visit.path(self.kind.page, &[("of", of)]),
            None => visit.path(self.kind.page, &[]),
        }
    }

    /// A login that leads back to this form.
    fn log_in(&self, visit: &Visit) -> Response {
        Target::of(&visit.path(self.kind.page, &[]), &visit.person.visit.form)
            .to_login_again(visit.person.org.org.name.as_str())
    }

    /// The form, with what was typed where it came back, and why.
    fn form(
        &self,
        visit: &Visit,
        status: StatusCode,
        refused: Option<&Refused>,
    ) -> Result<Response, Trouble> {
        // SECURITY: before anything is typed, and again when it comes.
        if !visit.person.is_recent() {
            return Ok(self.log_in(visit));
        }
        let typed = refused.map(|_| &visit.person.visit.form);
        let shown = FormPage {
            frame: visit.person.frame(Here::Console, self.action.label),
            chrome: visit.chrome(self.kind.page, None),
            action: visit.path(self.kind.page, &[]),
            name: self.action.name,
            of: self.of.clone(),
            which: self.which.clone(),
            what: self.what.clone(),
            title: self.action.label,
            told: self.action.told,
            ends: self.action.ends,
            fields: shown_fields(self.action, self.thing.as_ref(), typed),
            error: refused.map(|refused| {
                (asking::sentence(&refused.message), refused.hint.as_deref().map(asking::sentence))
            }),
            back: self.back(visit),
        };
        Ok(page(status, &shown))
    }
}

/// `POST /{org}/admin/{page}`: does what a form asks.
pub(crate) async fn change(person: Person) -> Response {
    let visit = match Visit::begin(person).await {
        Ok(visit) => visit,
        Err(response) => return response,
    };
    answer(&visit).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(visit: &Visit) -> Result<Response, Trouble> {
    let kind = kinds::find(visit.person.visit.segment(2)).ok_or_else(|| visit.no_page())?;
    let found = visit.find("do").and_then(|name| kind.action(name));
    let (action, part) = found.ok_or_else(|| Trouble::no_answer().at(visit.person.head()))?;
    let asked = Asked::read(visit, kind, action, part).await?;
    // SECURITY: nothing is changed from a browser that was left unlocked.
    if !visit.person.is_recent() {
        return Ok(asked.log_in(visit));
    }
    let form = &visit.person.visit.form;
    let known = asking::Known {
        name: asked.of.as_deref().unwrap_or_default(),
        id: asked.thing.as_ref().and_then(|thing| text(thing, "id")).unwrap_or_default(),
        which: asked.which.as_deref().unwrap_or_default(),
    };
    let answered = match question(action, &known, form) {
        Ok(question) => visit.ask(action.verb, &question).await,
        Err(refused) => Err(refused),
    };
    let answer = match answered {
        Ok(answer) => answer,
        Err(refused) => return asked.form(visit, refused.kind.status(), Some(&refused)),
    };
    let named = asked.of.clone().or_else(|| form.find(kind.name).map(|name| name.trim().to_owned()));
    let mut query: Vec<(&str, &str)> =
        named.as_deref().filter(|_| !kind.is_only_one()).map(|of| ("of", of)).into_iter().collect();
    if let Some(reveal) = &action.reveals {
        let secret = Zeroizing::new(text(&answer, reveal.member).unwrap_or_default());
        let shown = MadePage {
            frame: visit.person.frame(Here::Console, reveal.title),
            chrome: visit.chrome(kind.page, None),
            title: reveal.title,
            what: named.clone().unwrap_or_default(),
            told: reveal.told,
            secret: Revealed::new(secret),
            back: visit.path(kind.page, &query),
        };
        return Ok(page(StatusCode::OK, &shown));
    }
    query.push(("done", action.name));
    if answer.get("suspended").and_then(Value::as_array).is_some_and(|left| !left.is_empty()) {
        query.push(("left", "1"));
    }
    Ok(see_other(&visit.path(kind.page, &query)))
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
