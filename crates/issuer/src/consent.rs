//! Whether a person lets a client act for them: the question between `authorize` and its answer.

use axum::response::Response;
use hallpass_model::client::{Client, ClientKind};
use hallpass_model::device::DeviceClaim;
use hallpass_model::grant::Amr;
use hallpass_model::lifetimes;
use hallpass_model::principal::OrgLimits;
use hallpass_model::purpose::Purpose;
use hallpass_model::role::Act;
use hallpass_model::wire::client_document::DocumentUrl;
use hallpass_model::wire::oauth::{GrantType, Scopes};
use http::StatusCode;
use url::Url;

use crate::authorize::{self, AuthorizeRequest, Consent};
use crate::login::Target;
use crate::pages::Here;
use crate::pages::answer::page_leading_to;
use crate::pages::asking::{Asked, ConsentPage, ResourceLine, ReturnsTo};
use crate::pages::when::length;
use crate::pages::words::ScopeLine;
use crate::raise;
use crate::trouble::Trouble;
use crate::web::Person;

/// `GET /{org}/consent`
pub(crate) async fn show(person: Person) -> Result<Response, Trouble> {
    person.permit(Act::ApproveForOneself).await?;
    let handle = person.visit.form.find("request").unwrap_or_default().to_owned();
    let Some(request) = authorize::load_request(&person.visit.issuer, &person.org, &handle).await? else {
        return Err(over(&person));
    };
    let raises = raise::on_page(&person, request.raises).await?;
    let authentication = &person.web.authentication;
    let by_another_way = request.sso && !authentication.amr.contains(&Amr::Sso);
    if by_another_way || request.authenticated_after.is_some_and(|after| authentication.at < after) {
        return Ok(Target::Consent(handle).to_login_again(person.org.org.name.as_str()));
    }
    let client = client(&person, request.client).await?;
    let returns_to = Url::parse(&request.redirect_uri).map_err(|_| over(&person))?;
    let mut asked = asked(&person, &client, &Wanted::from(&request)).await?;
    if let Some(raised) = &raises {
        raised.say_in(&mut asked);
    }
    let shown = ConsentPage {
        frame: person.frame(Here::Asking, "Allow a program"),
        org: person.head(),
        csrf: person.csrf.clone(),
        asked,
        raises,
        handle,
        returns_to: ReturnsTo::of(&returns_to),
    };
    Ok(page_leading_to(&shown, &returns_to))
}

/// `POST /{org}/consent`
pub(crate) async fn answer(person: Person) -> Result<Response, Trouble> {
    person.permit(Act::ApproveForOneself).await?;
    let handle = person.visit.form.required("request")?;
    let yes = match person.visit.form.find("answer") {
        Some("yes") => true,
        Some("no") => false,
        _ => return Err(Trouble::no_answer().at(person.head())),
    };
    if authorize::load_request(&person.visit.issuer, &person.org, handle).await?.is_none() {
        return Err(over(&person));
    }
    let consent = Consent {
        person: person.person.id,
        login: person.web.login,
        authentication: person.web.authentication.clone(),
        yes,
        address: person.visit.address.map(|address| address.to_string()).unwrap_or_default(),
    };
    Ok(authorize::finish(&person.visit.issuer, &person.org, handle, consent).await?)
}

fn over(person: &Person) -> Trouble {
    Trouble::new(
        StatusCode::GONE,
        "This request is over",
        "It waited longer than ten minutes, or it was answered already.",
        "Go back to your terminal and run the same command once more.",
    )
    .at(person.head())
    .link(person.path("sessions"), "Your sessions")
}

/// What a client wants, whichever way it asks.
pub(crate) struct Wanted<'a> {
    pub(crate) scopes: &'a Scopes,
    pub(crate) resources: &'a [String],
    pub(crate) purpose: Option<&'a Purpose>,
    pub(crate) device: Option<&'a DeviceClaim>,
}

impl<'a> From<&'a AuthorizeRequest> for Wanted<'a> {
    fn from(request: &'a AuthorizeRequest) -> Self {
        Self {
            scopes: &request.scopes,
            resources: &request.resources,
            purpose: request.purpose.as_ref(),
            device: request.device.as_ref(),
        }
    }
}

/// The client that asks, if it is in use.
pub(crate) async fn client(person: &Person, id: hallpass_model::id::ClientId) -> Result<Client, Trouble> {
    let found = person.visit.issuer.store.find_client(id).await?;
    found.filter(|client| client.standing.is_active() && client.org == person.org.id()).ok_or_else(|| {
        Trouble::new(
            StatusCode::GONE,
            "This program is not in use any more",
            "The client that asked was disabled by whoever answers for it.",
            "Ask an administrator of your organisation what to use in its place.",
        )
        .at(person.head())
    })
}

/// What is asked for, in words.
pub(crate) async fn asked(person: &Person, client: &Client, wanted: &Wanted<'_>) -> Result<Asked, Trouble> {
    let mut resources = Vec::with_capacity(wanted.resources.len());
    for url in wanted.resources {
        let known = person.visit.issuer.store.find_resource_by_url(person.org.id(), url).await?;
        resources.push(match known {
            Some(known) => ResourceLine {
                name: known.name.clone(),
                url: url.clone(),
                environment: known.environment.to_string(),
            },
            None => ResourceLine {
                name: "An API that is out of use".into(),
                url: url.clone(),
                environment: "none".into(),
            },
        });
    }
    Ok(Asked {
        client: client.name.clone(),
        vouched_by: host_of(client),
        person: person.person.name.clone(),
        scopes: wanted.scopes.iter().map(ScopeLine::new).collect(),
        resources,
        lifetime: lifetime(client, wanted.scopes, &person.org.org.limits),
        machine: wanted.device.map(|device| device.name.clone()),
        purpose: wanted.purpose.map(ToString::to_string),
    })
}

/// The host of a client's document, if it is known by one.
fn host_of(client: &Client) -> Option<String> {
    client.document.as_deref().and_then(|document| DocumentUrl::parse(document).ok()).map(|url| url.host())
}

/// For how long, in words.
fn lifetime(client: &Client, scopes: &Scopes, limits: &OrgLimits) -> String {
    let stays = client.kind == ClientKind::Cli || scopes.has("offline_access");
    if !(stays && client.may_use(&GrantType::RefreshToken)) {
        return format!("{}, once", length(limits.access_token(None).min(lifetimes::ACCESS_TOKEN)));
    }
    let (most, idle) = (limits.session_absolute(), limits.session_idle());
    if idle >= most {
        return format!("{} at most", length(most));
    }
    format!("{} at most, {} if it is not used", length(most), length(idle))
}
