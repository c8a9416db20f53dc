//! How a token stands to a trust, line by line, as the one who pasted it is told. The token itself is not shown again.

use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use super::Visit;
use super::acting::Asked;
use super::look::text;
use crate::pages::Here;
use crate::pages::answer::page;
use crate::pages::console::{WeighedLine, WeighedPage, WeighedTrust};

pub(super) fn show(visit: &Visit, asked: &Asked, answer: &Value) -> Response {
    let trusts = answer["trusts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = asked.of.as_deref().unwrap_or_default();
    let shown = WeighedPage {
        frame: visit.person.frame(Here::Console, asked.action.label),
        chrome: visit.chrome(asked.kind.page, None),
        title: asked.action.label,
        what: asked.what.clone(),
        nobody: text(answer, "nobody"),
        trusts: trusts.iter().map(trust).collect(),
        again: visit.path(asked.kind.page, &[("do", asked.action.name), ("of", of)]),
        back: asked.back(visit),
    };
    page(StatusCode::OK, &shown)
}

fn trust(weighed: &Value) -> WeighedTrust {
    let lines = weighed["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    WeighedTrust {
        lets_in: weighed["lets_in"] == true,
        wrong: text(weighed, "wrong"),
        lines: lines.iter().map(line).collect(),
    }
}

fn line(line: &Value) -> WeighedLine {
    WeighedLine {
        claim: text(line, "claim").unwrap_or_default(),
        wanted: text(line, "wanted").unwrap_or_default(),
        found: line["found"].as_str().map(str::to_owned),
        holds: line["holds"] == true,
    }
}
