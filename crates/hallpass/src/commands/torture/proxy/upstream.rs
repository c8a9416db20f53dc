//! The provider itself: at its own address, or where it really listens.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{HOST, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Method, redirect};
use url::Url;

use super::super::wire::{Answer, Request, by_hop};
use crate::failure::Failure;

/// As long as a process waits at most for a poll that is held.
const TIME_OUT: Duration = Duration::from_secs(45);

/// Where requests go.
pub(in super::super) struct Upstream {
    client: Client,
    /// What answers to the issuer's own authority, and what that is.
    instead: Option<(String, Url)>,
}

impl Upstream {
    /// `issuer` is reached at its own address, by way of the person's own proxy if there is one; or `at` another.
    pub(in super::super) fn new(
        issuer: &Url,
        at: Option<Url>,
        ca_file: Option<&Path>,
    ) -> Result<Self, Failure> {
        let mut client =
            Client::builder().redirect(redirect::Policy::none()).referer(false).timeout(TIME_OUT);
        if at.is_some() {
            client = client.no_proxy();
        }
        if let Some(path) = ca_file {
            let named = |why: String| {
                Failure::could_not_run(format_args!("the certificates in `{}`: {why}", path.display()))
            };
            let pem = std::fs::read(path).map_err(|error| named(error.to_string()))?;
            let trusted = Certificate::from_pem_bundle(&pem).map_err(|error| named(error.to_string()))?;
            client = client.tls_certs_merge(trusted);
        }
        let client = client
            .build()
            .map_err(|error| Failure::could_not_run(format_args!("no connection can be made: {error}")))?;
        Ok(Self { client, instead: at.map(|at| (authority(issuer), at)) })
    }

    /// Asks the provider. None if it gave no answer.
    pub(super) async fn ask(&self, authority: &str, request: &Request) -> Option<Answer> {
        let instead = self.instead.as_ref().filter(|(issuer, _)| issuer == authority);
        let address = match instead {
            Some((_, at)) => format!("{}{}", at.as_str().trim_end_matches('/'), request.target),
            None => format!("https://{authority}{}", request.target),
        };
        let method = Method::from_bytes(request.method.as_bytes()).ok()?;
        let mut asking = self.client.request(method, address).body(request.body.clone());
        for (name, value) in request.headers.iter().filter(|(name, _)| !by_hop(name) && name != "host") {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            asking = asking.header(name, HeaderValue::from_bytes(value).ok()?);
        }
        if instead.is_some() {
            // As whatever ends TLS in front of a server says it.
            asking = asking.header(HOST, authority).header("x-forwarded-host", authority);
            asking = asking.header("x-forwarded-proto", "https").header("x-forwarded-for", "127.0.0.1");
        }
        let response = asking.send().await.ok()?;
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        let body = response.bytes().await.ok()?.to_vec();
        Some(Answer { status, headers, body })
    }
}

/// Host, and the port where it is not the scheme's own: as a process asks for it.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
