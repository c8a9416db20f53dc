//! What a person is told about what they answer for, and about what they had: a page of its own, for everybody.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hallpass_model::time::Timestamp;
use hallpass_store::CameBy;
use http::StatusCode;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::admin::forms::{NoticeShown, NoticesReadShown};
use crate::admin::{Member, Office, Refused, find};
use crate::authorize::see_other;
use crate::pages::Here;
use crate::pages::account::{NoticeLine, NoticesPage};
use crate::pages::answer::page;
use crate::pages::when::Moment;
use crate::trouble::Trouble;
use crate::web::Person;

/// `GET /{org}/notices`.
pub(crate) async fn show(person: Person) -> Response {
    match ask::<Vec<NoticeShown>>(&person, "notice.list", &json!({})).await {
        Ok(notices) => shown(&person, &notices),
        Err(refused) => told(&person, &refused),
    }
}

/// `POST /{org}/notices`: they are read, up to the newest that the page showed.
pub(crate) async fn read(person: Person) -> Response {
    let upto = person.visit.form.find("upto").and_then(|upto| upto.parse::<u64>().ok());
    let Some(upto) = upto else { return Trouble::no_answer().at(person.head()).into_response() };
    match ask::<NoticesReadShown>(&person, "notice.read", &json!({ "upto": upto })).await {
        Ok(_) => see_other(&person.path("notices")),
        Err(refused) => told(&person, &refused),
    }
}

/// Asks a verb in their name.
async fn ask<A: DeserializeOwned>(person: &Person, verb: &str, question: &Value) -> Result<A, Refused> {
    let member =
        Member::new(Arc::clone(&person.org.org), person.person.id, CameBy::Browser(person.web.login));
    let office = Office::of_member(person.visit.issuer.clone(), member);
    let verb = find(verb).expect("the table of verbs has it");
    let body = verb.answer(office, Bytes::from(question.to_string())).await?;
    let body = body.collect().await.map_err(Refused::broken)?.to_bytes();
    serde_json::from_slice(&body).map_err(Refused::broken)
}

fn shown(person: &Person, notices: &[NoticeShown]) -> Response {
    let now = person.visit.now;
    let line = |notice: &NoticeShown| {
        let entry = &notice.entry;
        let at = entry.entry["at"].as_i64().map_or(now, Timestamp::from_millis);
        NoticeLine {
            new: !notice.read,
            at: Moment::new(at, now),
            event: words(&entry.event, &entry.why),
            what: entry.what.clone(),
            who: entry.who.clone(),
            why: entry.why.clone(),
            seq: entry.seq,
        }
    };
    let lines: Vec<NoticeLine> = notices.iter().map(line).collect();
    let shown = NoticesPage {
        frame: person.frame(Here::Notices, "Notices"),
        org: person.head(),
        csrf: person.csrf.clone(),
        newest: lines.iter().filter(|line| line.new).map(|line| line.seq).max(),
        lines,
    };
    page(StatusCode::OK, &shown)
}

/// What happened, in plain words.
fn words(event: &str, why: &str) -> &'static str {
    match event {
        "leaked" => "Ended, as it was found where it should not be",
        "reused" => "Ended, as something was used twice that is used once",
        "suspended" => "Suspended, as whoever answered for it left",
        "disabled" => "Taken out of use",
        _ if why.contains("retry_too_late") => {
            "Ended, as its token was sent again too late to be told from theft"
        }
        _ if why.contains("disabled") => "Ended, as it was taken out of use",
        _ => "Ended by somebody who may",
    }
}

fn told(person: &Person, refused: &Refused) -> Response {
    let next = refused.hint.clone().unwrap_or_else(|| "Go back, and try again.".to_owned());
    Trouble::new(refused.kind.status(), "That did not work", refused.message.clone(), next)
        .at(person.head())
        .into_response()
}
