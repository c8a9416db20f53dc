//! The page of one thing: what it is, what belongs to it, and the buttons.

use axum::response::Response;
use hallpass_model::id::{ClientId, PrincipalId};
use http::StatusCode;
use serde_json::{Value, json};

use super::kinds::{Action, From, Kind, Part};
use super::look::text;
use super::{Visit, lineage, told};
use crate::admin::Kind as Sort;
use crate::authorize::see_other;
use crate::pages::Here;
use crate::pages::answer::page;
use crate::pages::console::{OnePage, PartShown, Row};
use crate::trouble::Trouble;

/// The page of one thing: what it is, what belongs to it, and what can be done to it.
pub(super) async fn show(visit: &Visit, kind: &'static Kind, of: Option<&str>) -> Result<Response, Trouble> {
    if let Some(name) = named(visit, kind, of).await? {
        return Ok(see_other(&visit.path(kind.page, &[("of", &name)])));
    }
    let thing = load(visit, kind, of).await?;
    let notice = notice(visit, kind);
    if kind.is_drawn() {
        return Ok(lineage::show(visit, kind, &thing, notice));
    }
    let owner = text(&thing, "owner");
    let name = text(&thing, kind.name).unwrap_or_default();
    let title = text(&thing, kind.heading).unwrap_or_else(|| match kind.is_only_one() {
        true => kind.title.to_owned(),
        false => name.clone(),
    });
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
        about: kind.is_only_one().then_some(kind.about),
        none: kind.none.filter(|_| name.is_empty()),
        yourself: kind.page == "people" && visit.seat.is(&name),
        facts: looking.cells(kind, kind.facts, &thing).into_iter().filter(|cell| !cell.is_empty()).collect(),
        parts,
        actions: actions.collect(),
        ledger: about.flatten(),
    };
    Ok(page(StatusCode::OK, &shown))
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

/// The thing that is asked about; nothing is said of one that is not there, where there may be none.
pub(super) async fn load(visit: &Visit, kind: &Kind, of: Option<&str>) -> Result<Value, Trouble> {
    let asked = match of {
        _ if kind.is_only_one() => json!({}),
        Some(of) => json!({ kind.name: of }),
        None => return Err(visit.no_page()),
    };
    match visit.ask(kind.show, &asked).await {
        Ok(thing) => Ok(thing),
        Err(refused) if refused.kind == Sort::NotThere && kind.none.is_some() => Ok(json!({})),
        Err(refused) => Err(told(visit, refused)),
    }
}

/// What is said of what was just done.
fn notice(visit: &Visit, kind: &Kind) -> Option<String> {
    let (action, _) = kind.action(visit.find("done")?)?;
    let left = " What was answered for is suspended until somebody takes it over.";
    Some(format!("{}{}", action.done, if visit.find("left").is_some() { left } else { "" }))
}

pub(super) async fn lines(
    visit: &Visit,
    kind: &Kind,
    part: &Part,
    thing: &Value,
) -> Result<Vec<Value>, Trouble> {
    let answer = match &part.from {
        From::Member(member) => thing.get(*member).cloned(),
        From::Verb { verb, by, inside } => {
            let name = text(thing, kind.name).unwrap_or_default();
            let asked = by.map_or_else(|| json!({}), |by| json!({ by: name }));
            let answer = match visit.ask(verb, &asked).await {
                Ok(answer) => answer,
                // What a thing may have one of, and has not.
                Err(refused) if refused.kind == Sort::NotThere => return Ok(Vec::new()),
                Err(refused) => return Err(told(visit, refused)),
            };
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
        each: part.each,
        acts: part.actions.iter().any(|action| visit.seat.may(action.verb, owner)),
        rows: lines.iter().take(LINES_MAX).map(row).collect(),
        more: lines.len().saturating_sub(LINES_MAX),
    }
}
