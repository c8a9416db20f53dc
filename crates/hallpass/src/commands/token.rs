//! `hallpass token`.

use clap::Args;
use hallpass_holder::{Binding, Identity, Pass, PassRequest, ProfileName, Told};
use hallpass_model::purpose::Purpose;
use hallpass_model::time::Lifetime;
use serde::Serialize;

use crate::env;
use crate::failure::{Exit, Failure};
use crate::holding::{Source, WhichArgs, parse_purpose, parse_resource, parse_scope, scopes};
use crate::output::{Form, Output};

/// Print an access token that is good now
///
/// From what is kept while that is good, otherwise fresh. Prefer `hallpass exec`: its token dies with the command,
/// while this one lives until it expires.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass token --resource https://api.example
  curl -H \"Authorization: Bearer $(hallpass token)\" https://api.example/notes
  hallpass token --dpop GET https://api.example/notes | curl -H @- https://api.example/notes")]
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

    /// Use nothing that is kept: renew the sign-in first
    #[arg(long, conflicts_with = "dpop")]
    fresh: bool,

    /// Print the headers of one request instead: a token bound to your sign-in's key, and a proof for this request
    ///
    /// Two lines, `Authorization` and `DPoP` (RFC 9449), good for one request of this method to this address.
    #[arg(long, num_args = 2, value_names = ["METHOD", "URL"])]
    dpop: Option<Vec<String>>,

    /// The nonce that the API asked for in `DPoP-Nonce`
    // It may begin with a hyphen: it is whatever the API made of it.
    #[arg(long, value_name = "NONCE", requires = "dpop", allow_hyphen_values = true)]
    nonce: Option<String>,

    #[command(flatten)]
    which: WhichArgs,
}

#[cfg(test)]
impl TokenArgs {
    /// As the short way puts it. `None` if it says more than that knows.
    pub(crate) fn asked(&self) -> Option<hallpass_holder::daemon::TokenAsked> {
        let more = self.ttl.is_some() || self.fresh || self.dpop.is_some() || self.nonce.is_some();
        let reach = scopes(&self.scopes);
        (!more).then(|| hallpass_holder::daemon::TokenAsked {
            profile: self.which.profile.as_ref().map(ToString::to_string),
            issuer: self.which.issuer.clone(),
            client_id: self.which.client_id.clone(),
            resource: self.resource.clone(),
            scope: (!reach.is_empty()).then(|| reach.to_string()),
            purpose: self.purpose.as_ref().map(ToString::to_string),
            ..Default::default()
        })
    }
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
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop: Option<&'a str>,
    profile: Option<&'a str>,
}

pub(crate) async fn token(args: TokenArgs, out: &mut Output) -> Result<Exit, Failure> {
    if env::HALLPASS_TOKEN_SOCKET.is_set() && (args.fresh || args.dpop.is_some()) {
        let own = "`--fresh` and `--dpop` are for a sign-in, and HALLPASS_TOKEN_SOCKET says that tokens come from a socket";
        return Err(Failure::usage(own));
    }
    let Source { holder, identity, bound } = args.which.source(out).await?;
    let mut request = PassRequest::default()
        .resource(args.resource.or(bound.resource.filter(|_| args.dpop.is_none())))
        .scopes(scopes(if args.scopes.is_empty() { &bound.scopes } else { &args.scopes }))
        .lifetime(args.ttl)
        .purpose(args.purpose);
    let asked = args.dpop.as_deref().map(OneRequest::read).transpose()?;
    let Some(OneRequest { method, url }) = asked else {
        let pass = match args.fresh {
            true => holder.fresh_token(&identity, &request).await?,
            false => holder.token(&identity, &request).await?,
        };
        match out.form() {
            Form::Text => out.answer(pass.token.expose_text())?,
            Form::Json => out.json("hallpass.token/1", &answer(&pass, "Bearer", &identity, None))?,
        }
        return Ok(Exit::DONE);
    };
    if request.resource.is_none() {
        request.resource = holder.resource_at(&identity, &url)?;
    }
    let presentable = holder.present(&identity, &request, Binding::Key).await?;
    if let Some(nonce) = &args.nonce {
        presentable.learn(&Told::new(0).nonce(nonce.as_str()));
        holder.keep_learned(&identity, &presentable)?; // so that the next request needs not be told
    }
    let headers = presentable.headers(&method, &url)?;
    let proof = headers.proof.as_deref();
    match out.form() {
        Form::Text => {
            out.answer(format_args!("Authorization: {}", headers.authorization.expose_text()))?;
            out.answer(format_args!("DPoP: {}", proof.expect("it is bound to a key")))?;
        }
        Form::Json => out.json("hallpass.token/1", &answer(presentable.pass(), "DPoP", &identity, proof))?,
    }
    Ok(Exit::DONE)
}

fn answer<'a>(
    pass: &'a Pass,
    kind: &'static str,
    identity: &'a Identity,
    proof: Option<&'a str>,
) -> Answer<'a> {
    Answer {
        access_token: pass.token.expose_text(),
        token_type: kind,
        expires: pass.expires.map(|expires| expires.to_string()),
        scope: pass.scope.as_ref().map(|scope| scope.to_string()),
        resource: pass.resource.as_deref(),
        issuer: &identity.issuer,
        profile: identity.profile.as_ref().map(ProfileName::as_str),
        dpop: proof,
    }
}

/// The request that a proof is for.
struct OneRequest {
    method: String,
    url: url::Url,
}

impl OneRequest {
    /// Reads `--dpop METHOD URL`.
    fn read(given: &[String]) -> Result<Self, Failure> {
        let [method, address] = given else { unreachable!("clap takes two") };
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if method.is_empty() || !method.bytes().all(token) {
            return Err(Failure::usage(format_args!("`{method}` is not an HTTP method")));
        }
        let url = url::Url::parse(address)
            .map_err(|error| Failure::usage(format_args!("`{address}` is not an address: {error}")))?;
        Ok(Self { method: method.clone(), url })
    }
}
