//! A person at the pages: the set-up, a passkey, and a login that comes back to the terminal.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hallpass_testkit::visitor::field;
use hallpass_testkit::{Visitor, client};
use http::StatusCode;
use url::Url;

use super::server::{Server, text};

/// What the person's browser knows: nothing but it and the server may.
#[derive(Default)]
pub(super) struct Known {
    /// The values of its cookies.
    pub(super) cookies: Vec<String>,
    /// The tokens of the forms it was shown.
    pub(super) form_tokens: Vec<String>,
}

impl Known {
    fn note(&mut self, visitor: &Visitor<'_>) {
        self.cookies.extend(visitor.cookies.values().filter(|value| !value.is_empty()).cloned());
        self.form_tokens.push(visitor.csrf.clone());
    }
}

/// A client that finds the server under its public name and follows no redirect, as a browser's address bar shows them.
pub(super) fn http(server: &Server) -> reqwest::Client {
    let loopback = ([127, 0, 0, 1], server.public).into();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    client.resolve("localhost", loopback).build().expect("a plain client is made")
}

/// Opens the set-up link: the org `acme`, and its first administrator `ada` with a passkey.
pub(super) async fn set_up(http: &reqwest::Client, base_url: &str, link: &str) -> Known {
    let mut ada = Visitor::at(http, base_url);
    ada.get("/setup").await;
    let form = [("link", link), ("name", "acme"), ("title", "Acme"), ("person", "Ada"), ("handle", "ada")];
    let reply = ada.make_passkey("/setup", &form).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    ada.get("/acme/sessions").await;
    let mut known = Known::default();
    known.note(&ada);
    known
}

/// Grace enrols by her link, opens the address that `hallpass login` gave to her browser, says yes, and is sent back to it.
pub(super) async fn enrol_and_approve(
    http: &reqwest::Client,
    base_url: &str,
    link: &str,
    address: &str,
) -> Known {
    let mut grace = Visitor::at(http, base_url);
    let reply = grace.enrol("acme", link).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    let mut known = Known::default();
    known.note(&grace);

    let mut page = grace.get(&way(address)).await;
    while let Some(location) = page.header("location").map(str::to_owned) {
        page = grace.get(&way(&location)).await;
    }
    let request = field(&page.body, "request").unwrap_or_else(|| panic!("no question: {}", page.body));
    known.note(&grace);
    let answer = grace.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
    let back = answer.header("location").unwrap_or_else(|| panic!("no way back: {}", answer.body));
    let arrived = client::send(http.get(back)).await;
    assert!(arrived.status.is_success() || arrived.status.is_redirection(), "{}", arrived.body);
    known
}

fn way(address: &str) -> String {
    let address = Url::parse(address).expect("an address");
    match address.query() {
        Some(query) => format!("{}?{query}", address.path()),
        None => address.path().to_owned(),
    }
}

/// A browser for `hallpass login` that only writes down which address it was to open. The program, and the file.
pub(super) fn opener(folder: &Path) -> (PathBuf, PathBuf) {
    let (program, address) = (folder.join("browser"), folder.join("address"));
    let script =
        format!("#!/bin/sh\nprintf %s \"$1\" >'{0}.new' && exec mv '{0}.new' '{0}'\n", text(&address));
    std::fs::write(&program, script).expect("it is the test's own folder");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).expect("ours");
    (program, address)
}
