//! What a token, or a person's consent, is asked for: resources (RFC 8707) and scopes.

use std::sync::Arc;

use hallpass_model::client::{Client, ClientKind, Resource};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{Form, Scopes};
use hallpass_store::{OutOfGrant, Reach, Reached, Wanted};

use crate::admin_api::{CHANGE_SCOPE, READ_SCOPE};
use crate::error::OAuthError;
use crate::form::Asked;
use crate::org::OrgIssuer;

/// Resources in one request for a person's consent: more is a list nobody reads.
const RESOURCES_MAX: usize = 8;

/// Reads what a token is asked for. One audience a token; whether the grant gives it is decided in the transaction
/// that issues it, before anything is used up.
pub(crate) fn wanted(asked: &Asked) -> Result<Wanted, OAuthError> {
    // `audience` is how an exchange may name it (RFC 8693, section 2.1).
    let mut named = asked.form.all("resource").chain(asked.form.all("audience"));
    let reach = match named.next() {
        None => Reach::Unsaid,
        Some(first) if named.any(|other| other != first) => {
            return Err(invalid_target("a token has one audience; ask for one resource at a time"));
        }
        Some(issuer) if issuer == asked.org.issuer => Reach::Issuer,
        Some(resource) => Reach::Resource(resource.to_owned()),
    };
    Ok(Wanted { reach, scopes: parse_scopes(&asked.form)?, lifetime: None })
}

/// The `aud` of a token.
pub(crate) fn audience(org: &OrgIssuer, reached: Reached) -> String {
    match reached {
        Reached::Issuer => org.issuer.clone(),
        Reached::Resource { url, .. } => url,
    }
}

/// What is told when a grant does not give what was asked for.
pub(crate) fn out_of_grant(why: OutOfGrant) -> OAuthError {
    match why {
        OutOfGrant::Resource => {
            invalid_target("the resource is not known here, or not one that was agreed to at login")
        }
        OutOfGrant::Ambiguous => {
            invalid_target("several resources were agreed to; say which one the token is for")
        }
        OutOfGrant::Disabled => invalid_target("the resource is disabled; ask its owner"),
        OutOfGrant::Suspended => invalid_target(
            "the resource is suspended: whoever answered for it left; an administrator has somebody take it over",
        ),
        OutOfGrant::Environment => another_environment(),
        OutOfGrant::Unmet(demand) => OAuthError::step_up(demand),
        OutOfGrant::Scope => {
            invalid_scope("a scope is not one that was agreed to, or not one the resource knows")
        }
    }
}

/// The resources a request for consent names: known, and in use (RFC 8707, section 2).
pub(crate) async fn consented_resources(
    asked: &Asked,
    client: &Client,
) -> Result<Vec<Arc<Resource>>, OAuthError> {
    let mut resources: Vec<Arc<Resource>> = Vec::new();
    for named in asked.form.all("resource") {
        // The issuer itself is always in reach.
        if named == asked.org.issuer || resources.iter().any(|known| known.url == named) {
            continue;
        }
        if resources.len() == RESOURCES_MAX {
            return Err(invalid_target("there are more resources than one consent may cover"));
        }
        let found = asked.issuer.store.find_resource_by_url(asked.org.id(), named).await?;
        let found = found.filter(|resource| resource.standing.is_active());
        let found = found.ok_or_else(|| invalid_target("there is no such resource in this org"))?;
        // SECURITY: nobody is asked for what their client never gets.
        if client.environment.as_ref().is_some_and(|environment| *environment != found.environment) {
            asked.record_refusal(client.id, "environment").await?;
            return Err(another_environment());
        }
        resources.push(found);
    }
    Ok(resources)
}

/// The scopes a request for consent names, each of which the client may ask for. Nothing named is nothing granted:
/// there is no default to be surprised by.
pub(crate) fn consented_scopes(form: &Form, client: &Client, org: &OrgIssuer) -> Result<Scopes, OAuthError> {
    let scopes = parse_scopes(form)?.unwrap_or_default();
    if scopes.iter().any(|scope| !may_ask(client, org, scope)) {
        return Err(invalid_scope("a scope is not one this client may ask for"));
    }
    Ok(scopes)
}

fn parse_scopes(form: &Form) -> Result<Option<Scopes>, OAuthError> {
    let Some(text) = form.find("scope") else { return Ok(None) };
    Scopes::parse(text).map(Some).map_err(|bad| invalid_scope("the scopes are not well-formed").because(bad))
}

/// Whether a client may ask for a scope: who logged in always; its own; and whatever the org's resources understand, for
/// a client that is registered so. To act for longer, once the person is away, it must be registered like any other
/// scope, but for a command-line tool's: its session is what the person logs in for, asked for or not.
fn may_ask(client: &Client, org: &OrgIssuer, scope: &str) -> bool {
    client.scopes.has(scope)
        || match scope {
            "openid" | "profile" => true,
            "offline_access" => client.kind == ClientKind::Cli,
            // SECURITY: what an administrator may, no client asks for that is not registered for it, but a person's own tool.
            READ_SCOPE | CHANGE_SCOPE => client.kind == ClientKind::Cli && client.any_scope,
            other => client.any_scope && org.scopes.contains(other),
        }
}

fn invalid_target(told: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidTarget, told)
}

fn another_environment() -> OAuthError {
    invalid_target("the resource is of another environment than the client").rule("environment")
}

fn invalid_scope(told: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidScope, told)
}
