//! `/{org}/report`: where somebody with a browser alone says that they found a credential of ours where it should not be.
//!
//! Nobody is asked who they are, and what they are told is the same whatever they hand in.

use axum::response::Response;
use hallpass_model::purpose::plain;
use http::StatusCode;

use crate::leaked::{self, FOUND_LEN_MAX};
use crate::pages::Frame;
use crate::pages::answer::page;
use crate::pages::entering::{ReportPage, Reporting};
use crate::trouble::Trouble;
use crate::web::Stranger;

/// `GET /{org}/report`.
pub(crate) async fn show(stranger: Stranger) -> Response {
    shown(&stranger, StatusCode::OK, Reporting::Asked { trouble: None, found: String::new() })
}

/// `POST /{org}/report`.
pub(crate) async fn answer(stranger: Stranger) -> Result<Response, Trouble> {
    let visit = &stranger.visit;
    let token = visit.form.find("token").unwrap_or_default().trim();
    // By its spelling alone: that says nothing of whether there is one.
    if !leaked::is_spelled_so(token) {
        let trouble = Some("This is no credential of a Hallpass issuer, or not all of it. Nothing was done.");
        let found = plain(visit.form.find("found").unwrap_or_default(), FOUND_LEN_MAX);
        return Ok(shown(&stranger, StatusCode::BAD_REQUEST, Reporting::Asked { trouble, found }));
    }
    visit.count_write()?;
    leaked::take(&visit.issuer, &stranger.org, visit.now, token, visit.form.find("found")).await?;
    Ok(shown(&stranger, StatusCode::OK, Reporting::Done))
}

fn shown(stranger: &Stranger, status: StatusCode, state: Reporting) -> Response {
    let org = stranger.head();
    let shown = ReportPage {
        frame: Frame::of(&org, "Report a credential"),
        org,
        csrf: stranger.browser.csrf.clone(),
        found_len_max: FOUND_LEN_MAX,
        state,
    };
    stranger.browser.remember(&stranger.visit.issuer, page(status, &shown))
}
