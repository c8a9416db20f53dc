//! `hallpass admin org login`.

use std::io::{IsTerminal, Read, stdin};

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::give;
use super::table::facts;
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{InOrg, OrgLoginSet, OrgLoginShown};

/// A secret at most, in bytes: more is another file.
const SECRET_LEN_MAX: u64 = 1_024;

/// Have an org's people log in by a provider of their own (OpenID Connect)
///
/// Single sign-on and further factors stay there; who logged in how strongly and when is carried on. A person is known by the
/// provider's issuer and subject, and by nothing else: an enrolment link says who that is here, or `--newcomers` makes a
/// person of whoever the provider signs in.
#[derive(Debug, Subcommand)]
pub(super) enum LoginCommand {
    /// Set the provider
    #[command(after_help = "\
Examples:
  hallpass admin org login set acme --issuer https://login.acme.example --client-id hallpass --title 'Acme login'
  hallpass admin org login set acme --issuer https://login.acme.example --client-id hallpass \\
      --client-secret-stdin --newcomers < secret.txt
  hallpass admin org require acme --sso-only     # and by nothing else, from then on")]
    Set(SetArgs),
    /// Show it, and what to register there
    Show(NameArgs),
    /// Take it away; people log in by passkey
    Remove(NameArgs),
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// The org's short name
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The org's short name
    #[arg(value_name = "NAME")]
    name: String,

    /// The provider's issuer, as its metadata has it
    #[arg(long, value_name = "URL")]
    issuer: String,

    /// What the provider calls this server
    #[arg(long, value_name = "ID")]
    client_id: String,

    /// Read the secret that the provider gave this server; without one it signs with the org's own key (`private_key_jwt`)
    #[arg(long)]
    client_secret_stdin: bool,

    /// What people call it, on the login page; its host if left out
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    /// Make a person of whoever it signs in
    #[arg(long)]
    newcomers: bool,
}

pub(super) async fn run(
    command: LoginCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        LoginCommand::Set(args) => {
            let client_secret = if args.client_secret_stdin { Some(read_secret()?) } else { None };
            let SetArgs { name, issuer, client_id, title, newcomers, client_secret_stdin: _ } = args;
            let form = OrgLoginSet { org: Some(name), issuer, client_id, client_secret, title, newcomers };
            let set: OrgLoginShown = server.ask("org.login.set", &form).await?;
            out.say(format_args!("register `{}` there as the redirect URI", set.redirect_uri));
            if set.authentication == "private_key_jwt" {
                out.say(format_args!("and `{}` as where its keys are (private_key_jwt)", set.jwks_uri));
            }
            show(&set, out)
        }
        LoginCommand::Show(args) => {
            show(&server.ask("org.login.show", &InOrg { org: Some(args.name) }).await?, out)
        }
        LoginCommand::Remove(args) => {
            let removed: OrgLoginShown =
                server.ask("org.login.remove", &InOrg { org: Some(args.name) }).await?;
            out.say(format_args!(
                "nobody logs in by `{}` any more; who logged in so stays until then",
                removed.issuer
            ));
            show(&removed, out)
        }
    }
}

/// SECURITY: never an argument: others read those.
fn read_secret() -> Result<Zeroizing<String>, Failure> {
    if stdin().is_terminal() {
        return Err(Failure::usage("the secret comes from a pipe or a file")
            .hint("`hallpass admin org login set ... --client-secret-stdin < FILE`"));
    }
    let mut text = Zeroizing::new(String::new());
    let read = stdin().take(SECRET_LEN_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format_args!("the secret cannot be read: {error}")))?;
    let secret = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    match !secret.is_empty() && secret.len() as u64 <= SECRET_LEN_MAX && !secret.contains(char::is_whitespace)
    {
        true => Ok(secret),
        false => Err(Failure::usage("what came is no secret: one line without spaces")),
    }
}

fn show(shown: &OrgLoginShown, out: &mut Output) -> Result<Exit, Failure> {
    give(out, "hallpass.admin.login/1", shown, |shown| {
        facts([
            ("issuer", shown.issuer.clone()),
            ("client_id there", shown.client_id.clone()),
            ("proves itself by", shown.authentication.clone()),
            ("title", shown.title.clone()),
            (
                "newcomers",
                if shown.newcomers { "become people of the org".into() } else { "are nobody".into() },
            ),
            ("redirect URI", shown.redirect_uri.clone()),
            ("keys published at", shown.jwks_uri.clone()),
            ("since", shown.created.clone()),
        ])
    })
}
