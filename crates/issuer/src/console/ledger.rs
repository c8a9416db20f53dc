//! The record, newest first, a bounded reading a page; and proofs of entries, to be checked without this server.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::look::text;
use super::{Visit, told};
use crate::pages::Here;
use crate::pages::answer::page;
use crate::pages::console::{EntryLine, LedgerPage, ProofPage};
use crate::trouble::Trouble;
use hallpass_model::ledger::Event;

/// Entries on one page.
const ENTRIES: u32 = 50;

/// What entries are looked for by: the name in the address, what it is, and what is typed.
const BY: [(&str, &str, &str); 3] = [
    ("principal", "Person", "A short name or an id."),
    ("client", "Client", "A short name or an id."),
    ("session", "Session", "An id, which begins ses_."),
];

pub(super) async fn show(visit: &Visit) -> Result<Response, Trouble> {
    if let Some(entry) = visit.find("proof") {
        return prove(visit, entry).await;
    }
    let mut asked = json!({ "limit": ENTRIES });
    for name in ["principal", "client", "session", "event"] {
        if let Some(typed) = visit.find(name).map(str::trim).filter(|typed| !typed.is_empty()) {
            asked[name] = json!(typed);
        }
    }
    if let Some(before) = visit.find("before") {
        asked["before"] = json!(before.parse::<u64>().map_err(|_| visit.no_page())?);
    }
    let answer = visit.ask("ledger.page", &asked).await.map_err(|refused| told(visit, refused))?;
    let entries = answer["entries"].as_array().cloned().unwrap_or_default();
    let value = |name: &str| visit.find(name).unwrap_or_default().to_owned();
    let event = value("event");
    let looked: Vec<(&str, String)> = ["principal", "client", "session", "event"]
        .into_iter()
        .map(|name| (name, value(name)))
        .filter(|(_, typed)| !typed.is_empty())
        .collect();
    let older = answer["next"].as_u64().map(|next| {
        let next = next.to_string();
        let mut query: Vec<(&str, &str)> =
            looked.iter().map(|(name, typed)| (*name, typed.as_str())).collect();
        query.push(("before", &next));
        visit.path("ledger", &query)
    });
    let shown = LedgerPage {
        frame: visit.person.frame(Here::Console, "Ledger"),
        chrome: visit.chrome("ledger", None),
        go: visit.path("ledger", &[]),
        by: BY.map(|(name, label, help)| (name, label, help, value(name))).to_vec(),
        events: Event::ALL.iter().map(|event| event.text()).map(|text| (text, text == event)).collect(),
        filtered: !looked.is_empty(),
        entries: entries.iter().map(|entry| line(visit, entry)).collect(),
        older,
        newest: visit.find("before").is_none(),
    };
    Ok(page(StatusCode::OK, &shown))
}

fn line(visit: &Visit, entry: &Value) -> EntryLine {
    let said = |member: &str| text(entry, member).unwrap_or_default();
    let id = |member: &str| text(entry, &format!("entry/{member}"));
    let mut links = Vec::new();
    if let Some(person) = id("principal") {
        links.push((visit.path("people", &[("of", &person)]), "Person"));
    }
    if let Some(client) = id("client") {
        links.push((visit.path("clients", &[("of", &client)]), "Client"));
    }
    if let Some(below) = id("session").or_else(|| id("lease")) {
        links.push((visit.path("lineage", &[("of", &below)]), "What came of it"));
    }
    let seq = entry["seq"].as_u64().unwrap_or_default();
    EntryLine {
        seq,
        at: visit.looking().moment(&said("at")),
        event: said("event"),
        who: said("who"),
        what: said("what"),
        why: said("why"),
        links,
        proof: visit.path("ledger", &[("proof", &seq.to_string())]),
    }
}

async fn prove(visit: &Visit, entry: &str) -> Result<Response, Trouble> {
    let seq: u64 = entry.parse().map_err(|_| visit.no_page())?;
    let answer = visit.ask("ledger.prove", &json!({ "entry": seq })).await;
    let answer = answer.map_err(|refused| told(visit, refused))?;
    let checkpoint = visit.ask("ledger.checkpoint", &json!({})).await;
    let checkpoint = checkpoint.map_err(|refused| told(visit, refused))?;
    let shown = ProofPage {
        frame: visit.person.frame(Here::Console, "Proof"),
        chrome: visit.chrome("ledger", None),
        seq,
        size: answer["size"].as_u64().unwrap_or_default(),
        proof: text(&answer, "proof").unwrap_or_default(),
        key: text(&checkpoint, "key").unwrap_or_default(),
        back: visit.path("ledger", &[]),
    };
    Ok(page(StatusCode::OK, &shown))
}
