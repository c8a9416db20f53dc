//! What a person in a browser is told when something is wrong: what happened, and what to do now.

use std::error::Error;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hallpass_model::wire::oauth::BadForm;
use hallpass_store::StoreError;
use http::StatusCode;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};

use crate::error::{OAuthError, ToldInJson, json};
use crate::pages::answer::page;
use crate::pages::trouble::TroublePage;
use crate::pages::{Frame, OrgHead};
use crate::passkey::BadPasskey;
use crate::web::forms::Forged;

/// An error for a person: a page, or JSON for the passkey script.
pub(crate) struct Trouble(Box<Told>);

struct Told {
    status: StatusCode,
    title: &'static str,
    what: String,
    next: String,
    link: Option<(String, &'static str)>,
    org: Option<OrgHead>,
    because: Option<Box<dyn Error + Send + Sync>>,
}

impl Trouble {
    /// An error with this status and title: what happened, and what to do.
    pub(crate) fn new(
        status: StatusCode,
        title: &'static str,
        what: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        let (what, next) = (what.into(), next.into());
        Self(Box::new(Told { status, title, what, next, link: None, org: None, because: None }))
    }

    /// There is no such page.
    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "There is nothing here",
            "This address leads nowhere. The name of the organisation in it may be mistyped, or the link may be old.",
            "Compare the address with the one your terminal or your administrator gave you.",
        )
    }

    /// The console has nothing for whoever has no role and answers for nothing.
    pub(crate) fn no_role() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "There is nothing here for you",
            "The console is for administrators, responders and auditors of this organisation, and for whoever answers for something in it.",
            "If you should be one of them, ask an administrator to add you to their team.",
        )
    }

    /// Something that nobody may do by the pages, administrators neither.
    pub(crate) fn nobody_may() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "This is not done here",
            "Neither people nor administrators may do this by these pages.",
            "Ask whoever operates the server.",
        )
    }

    /// A request that a program of theirs got wrong.
    fn bad_request(status: StatusCode, told: &str) -> Self {
        Self::new(
            status,
            "This request cannot be answered",
            sentence(told),
            "Go back to the program that sent you here and start again. If it happens once more, tell whoever makes that program.",
        )
    }

    /// A form that is not believed.
    pub(crate) fn forged(why: Forged) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "This form could not be trusted",
            "It was not sent from a page of this server, shown in this browser. Nothing was changed.",
            "Open the page again and repeat what you did. If a link from somewhere else brought you here, be wary of it.",
        )
        .because(why)
    }

    /// Somebody's login ended while a page of theirs was open.
    pub(crate) fn logged_out() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "You are logged out",
            "Your login on this browser is over.",
            "Load this page again to log in.",
        )
    }

    /// A change that only somebody who just logged in may make.
    pub(crate) fn not_recent() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "Log in once more",
            "This needs a login of the last few minutes.",
            "Log out and in again, then repeat what you did.",
        )
    }

    /// A passkey form that came without the script's part.
    pub(crate) fn no_script() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "No passkey came along",
            "This form needs a passkey, and the page's script did not ask for one. Scripts may be off in this browser.",
            "Allow scripts for this site, go back, load the page again, and try once more.",
        )
    }

    /// A passkey where the org lets people in by its own provider alone.
    pub(crate) fn provider_alone() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "Passkeys are not used here",
            "This organisation requires that people log in by its own login, and by nothing else.",
            "Go back to the login page, and choose that.",
        )
    }

    /// A ceremony that is over, or another browser's.
    pub(crate) fn ceremony_over() -> Self {
        Self::new(
            StatusCode::GONE,
            "That took too long",
            "The passkey came more than five minutes after the page asked for it, or from another browser. Nothing was changed.",
            "Go back, load the page again, and try once more.",
        )
    }

    /// A passkey that was judged bad.
    pub(crate) fn ceremony(why: BadPasskey) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "The passkey was refused",
            "What your browser sent could not be verified. Nothing was changed.",
            "Go back and try once more, perhaps with another authenticator. It must verify you, by a PIN, finger or face.",
        )
        .because(why)
    }

    /// A form without an answer in it.
    pub(crate) fn no_answer() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "No answer came along",
            "The form did not say what to do. Nothing was changed.",
            "Go back and press one of the buttons.",
        )
    }

    /// What an administrator does to others only.
    pub(crate) fn not_yourself() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "That would be you",
            "Administrators do this to others. Nothing was changed.",
            "Another administrator can do it for you.",
        )
    }

    /// Too much, too fast.
    pub(crate) fn too_many(what: &'static str, next: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many tries", what, next)
    }

    /// On the pages of this org.
    pub(crate) fn at(mut self, org: OrgHead) -> Self {
        self.0.org = Some(org);
        self
    }

    /// With a way on.
    pub(crate) fn link(mut self, address: String, label: &'static str) -> Self {
        self.0.link = Some((address, label));
        self
    }

    /// What only we may know.
    pub(crate) fn because(mut self, because: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.because = Some(because.into());
        self
    }

    /// As the passkey script reads it.
    pub(crate) fn json(self) -> Response {
        self.trace();
        let Told { status, what, next, .. } = *self.0;
        json(status, &serde_json::json!({ "error": format!("{what} {next}") }))
    }

    fn trace(&self) {
        match &self.0.because {
            Some(because) if self.0.status.is_server_error() => {
                tracing::error!(%because, "failed: {}", self.0.title)
            }
            Some(because) => tracing::info!(%because, "refused: {}", self.0.title),
            None => tracing::debug!("refused: {}", self.0.title),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        OAuthError::from(error).into()
    }
}

impl From<OAuthError> for Trouble {
    fn from(error: OAuthError) -> Self {
        error.trace();
        let status = error.http_status();
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::SERVICE_UNAVAILABLE => Self::new(
                status,
                "The server is busy",
                "It could not do this just now. Nothing was changed.",
                "Try again in a moment.",
            ),
            status if status.is_server_error() => Self::new(
                status,
                "Something broke here",
                "It was written down. Nothing was changed.",
                "Try again; if it happens once more, tell whoever runs this server.",
            ),
            status => Self::bad_request(status, &error.told_text()),
        }
    }
}

/// Whether somebody looks at the answer: a browser on its way to a page, and not a program or a script.
pub(crate) fn is_browser(request: &Request) -> bool {
    let accepts = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accepts.is_some_and(|accept| accept.split(',').any(|kind| kind.trim().starts_with("text/html")))
}

/// An error of an endpoint, as a page for whoever looks at it: `authorize` is an endpoint of browsers, too.
pub(crate) fn as_page(mut response: Response) -> Response {
    let Some(ToldInJson(told)) = response.extensions_mut().remove() else { return response };
    let status = response.status();
    let trouble = if status == StatusCode::NOT_FOUND {
        Trouble::not_found()
    } else {
        Trouble::bad_request(status, &told)
    };
    let mut shown = trouble.into_response();
    for (name, value) in response.headers() {
        if !matches!(*name, CONTENT_LENGTH | CONTENT_TYPE | CACHE_CONTROL) {
            shown.headers_mut().append(name.clone(), value.clone());
        }
    }
    shown
}

impl From<BadForm> for Trouble {
    fn from(bad: BadForm) -> Self {
        OAuthError::from(bad).into()
    }
}

/// `GET /`: which organisation's pages are meant is never guessed, and the list of them is nobody's business.
pub(crate) async fn no_org() -> Trouble {
    Trouble::new(
        StatusCode::NOT_FOUND,
        "Which organisation?",
        "This server gives out passes for organisations, each at an address of its own.",
        "Add your organisation's short name to the address, as your administrator gave it to you.",
    )
}

/// A fragment as a sentence.
fn sentence(fragment: &str) -> String {
    let mut letters = fragment.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        self.trace();
        let Told { status, title, what, next, link, org, .. } = *self.0;
        let frame = org.map_or_else(|| Frame::bare(title), |org| Frame::of(&org, title));
        page(status, &TroublePage { frame, status, what, next, link })
    }
}
