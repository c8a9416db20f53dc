//! `hallpass token`.

use clap::Args;
use hallpass_holder::{PassRequest, ProfileName};
use hallpass_model::purpose::Purpose;
use hallpass_model::time::Lifetime;
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::holding::{WhichArgs, parse_purpose, parse_resource, parse_scope, scopes};
use crate::output::{Form, Output};

/// Print an access token that is good now
///
/// From what is kept while that is good, otherwise fresh. Prefer `hallpass exec`: its token dies with the command,
/// while this one lives until it expires.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass token --resource https://api.example
  curl -H \"Authorization: Bearer $(hallpass token)\" https://api.example/notes")]
pub(crate) struct TokenArgs {
    /// The API it is for; may be left out where the sign-in has just one
    #[arg(long, value_name = "URL", value_parser = parse_resource)]
    resource: Option<String>,

    /// How far it reaches; all that was granted for the API otherwise
    #[arg(long = "scope", value_name = "SCOPE", value_parser = parse_scope)]
    scopes: Vec<String>,

    /// How long it lives, such as `90s` or `5m`; the issuer may cut it
    #[arg(long, value_name = "TIME")]
    ttl: Option<Lifetime>,

    /// What it is for, in a few words
    #[arg(long, value_name = "TEXT", value_parser = parse_purpose)]
    purpose: Option<Purpose>,

    #[command(flatten)]
    which: WhichArgs,
}

/// `hallpass.token/1`.
#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires: Option<String>,
    scope: Option<String>,
    resource: Option<&'a str>,
    issuer: &'a str,
    profile: Option<&'a str>,
}

pub(crate) async fn token(args: TokenArgs, out: &mut Output) -> Result<Exit, Failure> {
    let holder = args.which.holder.open()?;
    let identity = args.which.find(&holder, out)?;
    let bound = args.which.bound(&identity)?;
    let request = PassRequest {
        resource: args.resource.or(bound.resource),
        scopes: scopes(if args.scopes.is_empty() { &bound.scopes } else { &args.scopes }),
        lifetime: args.ttl,
        purpose: args.purpose,
    };
    let pass = holder.token(&identity, &request).await?;
    match out.form() {
        Form::Text => out.answer(pass.token.expose_text())?,
        Form::Json => out.json(
            "hallpass.token/1",
            &Answer {
                access_token: pass.token.expose_text(),
                token_type: "Bearer",
                expires: pass.expires.map(|expires| expires.to_string()),
                scope: pass.scope.map(|scope| scope.to_string()),
                resource: pass.resource.as_deref(),
                issuer: &identity.issuer,
                profile: identity.profile.as_ref().map(ProfileName::as_str),
            },
        )?,
    }
    Ok(Exit::DONE)
}
