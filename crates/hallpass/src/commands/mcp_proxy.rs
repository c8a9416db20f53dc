//! `hallpass mcp-proxy`: a remote MCP server, for a local agent that never sees the token.
//!
//! 1. The server says whose tokens it takes (RFC 9728). Only a sign-in at that very issuer is used, for a token that is for this
//!    server and nothing else (RFC 8707).
//! 2. The agent speaks MCP to our standard input and output, as to any local server; each message goes on with a token that is good
//!    then, and a proof of its own where the server takes those (RFC 9449).
//! 3. The token is in no message, no file and no environment; one that the server repeats is taken out.

mod events; // server-sent events
mod message; // JSON-RPC messages, as far as their transport must know them
mod relay; // between the two
mod resource; // whose tokens the server takes

use std::io::{BufRead, Read};

use clap::Args;
use hallpass_holder::api::ApiClient;
use hallpass_holder::{ActingFor, Binding, Holder, HolderError, Identity, PassRequest};
use hallpass_model::principal::Handle;
use hallpass_model::purpose::Purpose;
use hallpass_model::wire::resource_metadata::is_below;
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use url::Url;

use super::agents;
use crate::failure::{Exit, Failure};
use crate::holding::{Source, WhichArgs, parse_purpose, parse_resource, parse_scope, scopes};
use crate::output::{Form, Output};
use events::EVENT_LEN_MAX;
use message::Message;
use relay::Relay;

/// Lines that wait for the client: it reads, or the server waits.
const LINES_MAX: usize = 64;

/// Let a local agent use a remote MCP server, without ever seeing the token
///
/// The agent starts this as an MCP server on standard input and output. Each message goes on to the server with a token of your
/// sign-in that is for this server alone. The server says whose tokens it takes (RFC 9728): one that takes those of another
/// issuer gets none.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass mcp-proxy https://mcp.example/notes
  hallpass mcp-proxy --scope notes:read --agent coder --purpose 'fix the build' https://mcp.example/notes

In an agent's configuration:
  { \"mcpServers\": { \"notes\": { \"command\": \"hallpass\", \"args\": [\"mcp-proxy\", \"https://mcp.example/notes\"] } } }")]
pub(crate) struct McpProxyArgs {
    /// Where the server is
    #[arg(value_name = "URL", value_parser = parse_server)]
    server: Url,

    /// The API that tokens are for, if the server does not say so itself: it, or what it is below of
    #[arg(long, value_name = "URL", value_parser = parse_resource)]
    resource: Option<String>,

    /// How far they reach; all that was granted for the server otherwise
    #[arg(long = "scope", value_name = "SCOPE", value_parser = parse_scope)]
    scopes: Vec<String>,

    /// What it is for, in a few words; the ledger keeps it
    #[arg(long, value_name = "TEXT", value_parser = parse_purpose)]
    purpose: Option<Purpose>,

    /// The agent of yours that acts: tokens name it, and what it may have is all there is (`hallpass agents`)
    #[arg(long, value_name = "NAME", requires = "purpose")]
    agent: Option<Handle>,

    #[command(flatten)]
    which: WhichArgs,
}

fn parse_server(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("it is not an absolute address: {error}"))?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    match matches!(url.scheme(), "https" | "http") && plain {
        true => Ok(url),
        false => Err("it is no plain https address".to_owned()),
    }
}

pub(crate) async fn mcp_proxy(args: McpProxyArgs, out: &mut Output) -> Result<Exit, Failure> {
    if out.form() == Form::Json {
        return Err(Failure::usage("`hallpass mcp-proxy` answers what the server answers"));
    }
    let Source { holder, identity, .. } = args.which.source(out).await?;
    let server = args.server;
    let about = PassRequest::default().resource(server.to_string());
    let anonymous = ApiClient::new(&holder, &identity, about)?.anonymous();
    let metadata = resource::find(&anonymous, &server).await?;
    if let Some(metadata) = &metadata {
        resource::takes(metadata, &identity)?;
    }
    let binding = match metadata.as_ref().is_some_and(|metadata| metadata.takes_proofs()) {
        true => Binding::AsSignedIn,
        // Most servers know no proofs, and such a one would refuse a token that is bound.
        false => Binding::Bearer,
    };
    let resource = match (args.resource, metadata) {
        (Some(named), _) => own(named, &server)?,
        (None, Some(metadata)) => metadata.resource,
        (None, None) => holder.resource_at(&identity, &server)?.ok_or_else(|| unsaid(&server))?,
    };
    let request = PassRequest::default()
        .resource(resource)
        .scopes(scopes(&args.scopes))
        .purpose(args.purpose)
        .acting(args.agent.map(ActingFor::NewRun));
    let (request, run) = begun(&holder, &identity, request).await?;
    let api = ApiClient::new(&holder, &identity, request)?.at(server.clone()).presenting(binding);
    let ended = relay(api, &server).await;
    if let Some(run) = run {
        agents::end_quietly(&holder, &identity, run).await;
    }
    ended.map(|()| Exit::DONE)
}

/// SECURITY: an agent's configuration is in many a repository, and may not have a token for one API sent to another's server.
fn own(named: String, server: &Url) -> Result<String, Failure> {
    match Url::parse(&named).is_ok_and(|resource| is_below(server, &resource)) {
        true => Ok(named),
        false => Err(Failure::refused(format_args!(
            "`{server}` is not of `{named}`, and a token for that is not sent there"
        ))
        .hint("name the API that this very server is, or leave `--resource` out")),
    }
}

fn unsaid(server: &Url) -> Failure {
    Failure::usage(format_args!(
        "`{server}` does not say whose tokens it takes, and your sign-in knows no such API"
    ))
    .hint("name the API that it is, as it is registered, with `--resource`")
}

/// Gets a first token, so that what is wrong is said before the agent waits. Where an agent acts, that begins its run, and every
/// later token is of the same one.
async fn begun(
    holder: &Holder,
    identity: &Identity,
    request: PassRequest,
) -> Result<(PassRequest, Option<hallpass_model::id::CredentialId>), HolderError> {
    if request.acting.is_none() {
        holder.token(identity, &request).await?;
        return Ok((request, None));
    }
    let run = holder.fresh_token(identity, &request).await?.run;
    Ok((request.acting(run.map(ActingFor::Run)), run))
}

/// Goes between the two until the client has gone.
async fn relay(api: ApiClient, server: &Url) -> Result<(), Failure> {
    let (lines, mut to_client) = mpsc::channel::<String>(LINES_MAX);
    let relay = Relay::new(api, server.as_str().to_owned(), lines);
    let writing = tokio::spawn(async move {
        let mut out = tokio::io::stdout();
        while let Some(mut line) = to_client.recv().await {
            line.push('\n');
            if out.write_all(line.as_bytes()).await.is_err() || out.flush().await.is_err() {
                return;
            }
        }
    });
    let mut input = lines_of_input();
    // An agent that goes closes our input; one in a hurry sends a signal beside.
    let signal = |kind| {
        signal(kind).map_err(|error| Failure::could_not_run(format_args!("cannot wait for signals: {error}")))
    };
    let (mut told, mut typed) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let ended = loop {
        let line = tokio::select! {
            line = input.recv() => line,
            // What the client does not read any more it will not ask for either.
            () = closed(&writing) => break Ok(()),
            _ = told.recv() => break Ok(()),
            _ = typed.recv() => break Ok(()),
        };
        let text = match line {
            None => break Ok(()),
            Some(Err(error)) => {
                break Err(Failure::could_not_run(format_args!("cannot read what the agent says: {error}")));
            }
            Some(Ok(text)) => text,
        };
        match Message::read(text.trim()) {
            Some(message) => relay.send(message),
            None if text.trim().is_empty() => {}
            None => tracing::warn!("a line of the agent's is no message, and was left out"),
        }
    };
    relay.end().await;
    ended
}

/// What comes on standard input, line by line. By a thread of its own: a read that waits would hold up our end.
fn lines_of_input() -> mpsc::Receiver<std::io::Result<String>> {
    let (line_came, lines) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let limit = u64::try_from(EVENT_LEN_MAX).unwrap_or(u64::MAX);
        loop {
            let mut line = Vec::new();
            let read = match (&mut input).take(limit).read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(len) if len >= EVENT_LEN_MAX => {
                    let told = format!("a message of more than {} MiB", EVENT_LEN_MAX / 1024 / 1024);
                    Err(std::io::Error::new(std::io::ErrorKind::InvalidData, told))
                }
                Ok(_) => Ok(String::from_utf8_lossy(&line).into_owned()),
                Err(error) => Err(error),
            };
            let over = read.is_err();
            if line_came.blocking_send(read).is_err() || over {
                return;
            }
        }
    });
    lines
}

async fn closed(writing: &tokio::task::JoinHandle<()>) {
    /// How soon it is noticed that nobody reads: nobody waits for that.
    const LOOK: std::time::Duration = std::time::Duration::from_secs(1);
    while !writing.is_finished() {
        tokio::time::sleep(LOOK).await;
    }
}
