//! Every OAuth endpoint on one page, and who may call it. Pages for people stand in `web`'s own table.

use std::convert::Infallible;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::handler::Handler;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};
use http::Method;
use http::header::{HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY};

use crate::{
    Issuer, admin_api, agents_api, authorize, copied, device_authorization, error, health, introspect,
    leaked, lease, metadata, pushed, registration, revoke, session_stream, token, trouble, userinfo, web,
};

/// Who may call an endpoint. What each means is decided in `caller`, `web` and the handlers; tests walk the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Anybody: there is nothing secret in the answer and nothing changes.
    Anyone,
    /// A browser, sent here by a client that is named and checked.
    Browser,
    /// A person who is logged in to this very org on this browser.
    Person,
    /// A client of this org that says, and where it can proves, who it is.
    Client,
    /// A resource's own server: a client of this org, by its key or a token of its own.
    Verifier,
    /// Whoever holds an access token of this org that is meant for this endpoint.
    Token,
    /// Whoever holds a one-time link.
    Link,
    /// Whoever found a credential of this org: that it is whole is all they show, and to end it is all they can.
    Finder,
    /// Whoever holds a token to register clients with, or the one that a client manages its own registration with.
    Registration,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path; `{org}` is an org's name.
    pub path: &'static str,
    /// Who may call.
    pub access: Access,
}

/// Endpoints and their handlers.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<Issuer>,
    table: Vec<Endpoint>,
}

impl Routes {
    /// Adds an endpoint that is read.
    pub(crate) fn get<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Issuer>,
        T: 'static,
    {
        self.add(Method::GET, path, access, get(handler))
    }

    /// Adds an endpoint that is posted to.
    pub(crate) fn post<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Issuer>,
        T: 'static,
    {
        self.add(Method::POST, path, access, post(handler))
    }

    /// Adds an endpoint at which a thing is replaced.
    pub(crate) fn put<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Issuer>,
        T: 'static,
    {
        self.add(Method::PUT, path, access, put(handler))
    }

    /// Adds an endpoint at which a thing is taken away.
    pub(crate) fn delete<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Issuer>,
        T: 'static,
    {
        self.add(Method::DELETE, path, access, delete(handler))
    }

    fn add(
        mut self,
        method: Method,
        path: &'static str,
        access: Access,
        handler: MethodRouter<Issuer, Infallible>,
    ) -> Self {
        self.table.push(Endpoint { method, path, access });
        Self { router: self.router.route(path, handler), table: self.table }
    }
}

/// Every endpoint of the issuer, and who may call it.
fn routes() -> Routes {
    web::routes(Routes::default())
        .get("/healthz", Access::Anyone, health::live)
        .get("/readyz", Access::Anyone, health::ready)
        .get("/.well-known/oauth-authorization-server/{org}", Access::Anyone, metadata::show)
        .get("/{org}/.well-known/openid-configuration", Access::Anyone, metadata::show)
        .get("/{org}/jwks", Access::Anyone, metadata::jwks)
        .get("/{org}/authorize", Access::Browser, authorize::authorize)
        .post("/{org}/authorize", Access::Browser, authorize::authorize)
        .post("/{org}/par", Access::Client, pushed::push)
        .post("/{org}/register", Access::Registration, registration::register)
        .get("/{org}/register/{client_id}", Access::Registration, registration::show)
        .put("/{org}/register/{client_id}", Access::Registration, registration::replace)
        .delete("/{org}/register/{client_id}", Access::Registration, registration::end)
        .post("/{org}/device_authorization", Access::Client, device_authorization::start)
        .post("/{org}/token", Access::Client, token::redeem)
        .post("/{org}/revoke", Access::Client, revoke::revoke)
        .post("/{org}/introspect", Access::Verifier, introspect::introspect)
        .get("/{org}/userinfo", Access::Token, userinfo::show)
        .post("/{org}/userinfo", Access::Token, userinfo::show)
        .post("/{org}/lease", Access::Token, lease::connect)
        .post("/{org}/copied", Access::Token, copied::report)
        .post("/{org}/leaked", Access::Finder, leaked::report)
        .get("/{org}/api/agents", Access::Token, agents_api::list)
        .post("/{org}/api/agents", Access::Token, agents_api::register)
        .post("/{org}/api/agents/retire", Access::Token, agents_api::retire)
        .post("/{org}/api/runs/end", Access::Token, agents_api::end)
        .post("/{org}/api/runs/continue", Access::Token, agents_api::go_on)
        .get("/{org}/api/admin/openapi.json", Access::Anyone, admin_api::describe)
        .post("/{org}/api/admin/{verb}", Access::Token, admin_api::answer)
        .get("/{org}/session", Access::Token, session_stream::watch)
}

/// Every endpoint there is, for tests that walk them.
pub fn endpoints() -> Vec<Endpoint> {
    routes().table
}

pub(crate) fn router(issuer: Issuer) -> Router {
    routes()
        .router
        .method_not_allowed_fallback(async || error::method_not_allowed())
        .fallback(async || error::OAuthError::not_found())
        .layer(middleware::from_fn_with_state(issuer.clone(), observe))
        .with_state(issuer)
}

/// Writes each request down, by its route and not by its path, and puts on what every answer carries.
async fn observe(State(issuer): State<Issuer>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let by_browser = trouble::is_browser(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    tracing::debug!(
        http.method = %method,
        http.route = route.as_ref().map_or("none", MatchedPath::as_str),
        http.status = response.status().as_u16(),
        duration_us = started.elapsed().as_micros() as u64,
        "answered",
    );
    issuer.metrics.answered(
        &method,
        route.as_ref().map(MatchedPath::as_str),
        response.status(),
        started.elapsed(),
    );
    if by_browser {
        response = trouble::as_page(response);
    }
    let headers = response.headers_mut();
    for (name, value) in EVERY_ANSWER {
        headers.entry(name).or_insert(value);
    }
    if issuer.settings.base_url.is_https() {
        headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }
    response
}

/// Two years, as browsers' preload lists want it; not for subdomains, which are not ours to speak for (RFC 6797).
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// Nothing is sniffed, framed or told where one came from (RFC 9700, sections 4.2.4 and 4.16). Pages say more.
const EVERY_ANSWER: [(HeaderName, HeaderValue); 3] = [
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
    (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
];
