//! `hallpass admin org` and `hallpass admin limits`.

use clap::{ArgGroup, Args, Subcommand};
use hallpass_model::lifetimes;
use hallpass_model::rung::Rung;
use hallpass_model::time::Lifetime;

use super::providers;
use super::table::{Table, facts};
use super::{give, give_list};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{
    InOrg, Nothing, OrgAdd, OrgAdded, OrgKeysShown, OrgLimitsSet, OrgRequire, OrgRotateKey, OrgRungsSet,
    OrgShown, UnmetShown,
};

/// Add, list, show, disable and enable orgs
#[derive(Debug, Subcommand)]
pub(super) enum OrgCommand {
    /// Add an org, its administrators' team and its first administrator
    ///
    /// Prints the administrator's enrolment link, once. Whoever opens it becomes the administrator.
    #[command(after_help = "\
Example:
  hallpass admin org add acme --title 'Acme GmbH' --administrator ada --administrator-name 'Ada Lovelace'")]
    Add(OrgAddArgs),
    /// List the orgs
    List,
    /// Show an org
    Show(OrgNameArgs),
    /// Say where the keys of an org's sign-ins may rest
    ///
    /// A sign-in whose key rests elsewhere is not begun, and not renewed. It is what the holder says of itself: it keeps
    /// people from doing worse than they mean to, and proves nothing.
    #[command(after_help = "\
Examples:
  hallpass admin org rungs acme secret-service keychain credential-manager tpm
  hallpass admin org rungs acme --any")]
    Rungs(OrgRungsArgs),
    /// Say what everything in an org must meet
    ///
    /// What is demanded of people is asked of them at each grant, through every client, and of each session at its next renewal.
    /// It stands in place of what was required before.
    #[command(after_help = "\
Examples:
  hallpass admin org require acme --acr phr --max-age 12h
  hallpass admin org require acme --acr phr --static-by-exception
  hallpass admin org require acme --nothing")]
    Require(OrgRequireArgs),
    /// Show what does not meet what its org requires
    ///
    /// Keys without their exception, keys and trusts that outlive the org's limits, and trusts whose rules let too much in.
    /// Ends with 1 if there is any.
    #[command(after_help = "\
Example:
  hallpass admin org check acme")]
    Check(OrgNameArgs),
    #[command(subcommand)]
    Login(providers::LoginCommand),
    /// Show the keys that an org signs with
    Keys(OrgNameArgs),
    /// Have an org sign with another key
    ///
    /// By itself it does so every 90 days. The new key is published ten minutes before it signs, and the old one an hour after its
    /// last, so that nobody notices. Where somebody else may have the key, `--emergency` takes it away at once: every access
    /// token that it signed is dead, here and wherever the published keys are looked up again (within five minutes); sign-ins
    /// go on.
    #[command(after_help = "\
Examples:
  hallpass admin org rotate-key acme
  hallpass admin org rotate-key acme --algorithm EdDSA
  hallpass admin org rotate-key acme --emergency")]
    RotateKey(OrgRotateKeyArgs),
    /// Take an org out of use, and cut everything issued in it
    Disable(OrgNameArgs),
    /// Put an org back to use; what was cut stays cut
    Enable(OrgNameArgs),
}

#[derive(Debug, Args)]
pub(super) struct OrgRotateKeyArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,

    /// Take the old key away at once, and with it all that it signed
    #[arg(long)]
    emergency: bool,

    /// What the new one signs by; what signs now if left out, as at each rotation
    #[arg(long, value_name = "ALGORITHM", value_parser = ["ES256", "EdDSA"])]
    algorithm: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct OrgAddArgs {
    /// Its short name: the last part of its issuer URL, never used again by another
    #[arg(value_name = "NAME")]
    name: String,

    /// The name shown to people; the short name if left out
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    /// The short name of its first administrator
    #[arg(long, value_name = "HANDLE")]
    administrator: String,

    /// The administrator's name as shown to people; the short name if left out
    #[arg(long, value_name = "TEXT")]
    administrator_name: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct OrgNameArgs {
    /// Its short name
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct OrgRungsArgs {
    /// Its short name
    #[arg(value_name = "NAME")]
    name: String,

    /// Where keys may rest from now on
    #[arg(value_name = "RUNG", required_unless_present = "any", value_parser = parse_rung)]
    rungs: Vec<Rung>,

    /// Anywhere
    #[arg(long, conflicts_with = "rungs")]
    any: bool,
}

#[derive(Debug, Args)]
#[command(group(
    ArgGroup::new("what").required(true).multiple(true).args(["acr", "max_age", "static_by_exception", "sso_only", "nothing"])
))]
pub(super) struct OrgRequireArgs {
    /// Its short name
    #[arg(value_name = "NAME")]
    name: String,

    /// How strongly people prove who they are at least: `phr`, a passkey with the person verified by it
    #[arg(long, value_name = "ACR")]
    acr: Option<String>,

    /// How long ago at most, such as `12h`: a session that is older is not renewed
    #[arg(long, value_name = "TIME")]
    max_age: Option<Lifetime>,

    /// Have API keys only by an exception, each with a reason and an end; client secrets are that in any case
    #[arg(long)]
    static_by_exception: bool,

    /// Have people log in by the org's own provider and by nothing else (`hallpass admin org login`)
    #[arg(long)]
    sso_only: bool,

    /// Require nothing any more
    #[arg(long, conflicts_with_all = ["acr", "max_age", "static_by_exception", "sso_only"])]
    nothing: bool,
}

/// Also those that a person cannot ask for by name.
fn parse_rung(text: &str) -> Result<Rung, String> {
    let names = || Rung::ALL.map(|rung| format!("`{}`", rung.text())).join(", ");
    Rung::named(text).ok_or_else(|| format!("it is one of {}", names()))
}

/// Show or shorten how long anything lives in an org
///
/// An org may shorten a lifetime, never lengthen it. What is left out stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass admin limits acme
  hallpass admin limits acme --session-idle 7d --access-token 2m
  hallpass admin limits acme --reset")]
pub(super) struct LimitsArgs {
    /// The org's short name
    #[arg(value_name = "ORG")]
    name: String,

    /// An access token at most, such as `5m`
    #[arg(long, value_name = "TIME")]
    access_token: Option<Lifetime>,

    /// A session that nobody refreshes, such as `7d`
    #[arg(long, value_name = "TIME")]
    session_idle: Option<Lifetime>,

    /// A session, however busy, such as `30d`
    #[arg(long, value_name = "TIME")]
    session_absolute: Option<Lifetime>,

    /// An API key at most, such as `30d`
    #[arg(long, value_name = "TIME")]
    api_key: Option<Lifetime>,

    /// Go back to the lifetimes that every org has
    #[arg(long, conflicts_with_all = ["access_token", "session_idle", "session_absolute", "api_key"])]
    reset: bool,
}

pub(super) async fn run(
    command: OrgCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        OrgCommand::Add(args) => {
            let form = OrgAdd {
                name: args.name,
                title: args.title,
                administrator: args.administrator,
                administrator_name: args.administrator_name,
            };
            let added: OrgAdded = server.ask("org.add", &form).await?;
            out.say(format_args!(
                "added the org `{}`; its administrator enrols here, until {}:",
                added.org.name, added.link.expires
            ));
            give(out, "hallpass.admin.org-added/1", &added, |added| added.link.url.text().to_owned())
        }
        OrgCommand::List => {
            let orgs: Vec<OrgShown> = server.ask("org.list", &Nothing {}).await?;
            give_list(out, "hallpass.admin.orgs/1", &orgs, "no org yet", |orgs| {
                let mut table = Table::new(["NAME", "TITLE", "STATE", "ISSUER"]);
                for org in orgs {
                    table.row([&org.name, &org.title, &org.state, &org.issuer]);
                }
                table
            })
        }
        OrgCommand::Show(args) => show(server.ask("org.show", &InOrg { org: Some(args.name) }).await?, out),
        OrgCommand::Rungs(args) => {
            let form = OrgRungsSet { org: Some(args.name), rungs: args.rungs };
            show(server.ask("org.rungs", &form).await?, out)
        }
        OrgCommand::Require(args) => {
            let OrgRequireArgs { name, acr, max_age, static_by_exception, sso_only, nothing: _ } = args;
            let form = OrgRequire { org: Some(name), acr, max_age, static_by_exception, sso_only };
            show(server.ask("org.require", &form).await?, out)
        }
        OrgCommand::Login(command) => providers::run(command, server, out).await,
        OrgCommand::Keys(args) => {
            let keys: OrgKeysShown = server.ask("org.keys", &InOrg { org: Some(args.name) }).await?;
            show_keys(&keys, out)
        }
        OrgCommand::RotateKey(args) => {
            let form =
                OrgRotateKey { org: Some(args.name), emergency: args.emergency, algorithm: args.algorithm };
            let keys: OrgKeysShown = server.ask("org.rotate_key", &form).await?;
            out.say(match args.emergency {
                true => "the old key is gone, and every access token that it signed is dead",
                false => "the new key is published, and signs once everybody has it",
            });
            show_keys(&keys, out)
        }
        OrgCommand::Check(args) => {
            let unmet: Vec<UnmetShown> = server.ask("org.check", &InOrg { org: Some(args.name) }).await?;
            give_list(
                out,
                "hallpass.admin.unmet/1",
                &unmet,
                "everything meets what the org requires",
                |unmet| {
                    let mut table = Table::new(["THING", "RULE", "WHAT IS WRONG", "WHAT TO DO"]);
                    for one in unmet {
                        table.row([&one.thing, &one.rule, &one.told, &one.hint]);
                    }
                    table
                },
            )?;
            Ok(if unmet.is_empty() { Exit::DONE } else { Exit::NO })
        }
        OrgCommand::Disable(args) => {
            let org: OrgShown = server.ask("org.disable", &InOrg { org: Some(args.name) }).await?;
            out.say(format_args!("disabled `{}` and cut everything issued in it", org.name));
            show(org, out)
        }
        OrgCommand::Enable(args) => {
            let org: OrgShown = server.ask("org.enable", &InOrg { org: Some(args.name) }).await?;
            out.say(format_args!("enabled `{}`; what was cut stays cut", org.name));
            show(org, out)
        }
    }
}

pub(super) async fn limits(
    args: LimitsArgs,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let form = OrgLimitsSet {
        org: Some(args.name),
        access_token: args.access_token,
        session_idle: args.session_idle,
        session_absolute: args.session_absolute,
        api_key: args.api_key,
        reset: args.reset,
    };
    show(server.ask("org.limits", &form).await?, out)
}

fn show(org: OrgShown, out: &mut Output) -> Result<Exit, Failure> {
    give(out, "hallpass.admin.org/1", &org, |org| {
        let limit = |own: Option<Lifetime>, table: Lifetime| match own {
            Some(own) => format!("{own} (of {table})"),
            None => table.to_string(),
        };
        facts([
            ("name", org.name.clone()),
            ("title", org.title.clone()),
            ("id", org.id.clone()),
            ("issuer", org.issuer.clone()),
            ("state", org.state.clone()),
            ("administrators", org.administrators.join(", ")),
            ("access token, at most", limit(org.limits.access_token, lifetimes::ACCESS_TOKEN_MAX)),
            ("session, idle", limit(org.limits.session_idle, lifetimes::SESSION_IDLE)),
            ("session, absolute", limit(org.limits.session_absolute, lifetimes::SESSION_ABSOLUTE)),
            ("API key, at most", limit(org.limits.api_key, lifetimes::API_KEY_MAX)),
            ("acr, at least", org.requires.demand.acr.map_or("any".into(), |acr| acr.text().to_owned())),
            (
                "people log in by",
                if org.requires.demand.sso { "its own login alone" } else { "any way" }.to_owned(),
            ),
            ("max age", org.requires.demand.max_age.map_or("any".into(), |most| most.to_string())),
            (
                "static credentials",
                if org.requires.static_by_exception { "only by exception" } else { "allowed" }.to_owned(),
            ),
            ("keys may rest in", org.limits.rungs.map_or("any place".into(), |rungs| rungs.to_string())),
            ("added", org.created.clone()),
        ])
    })
}

fn show_keys(keys: &OrgKeysShown, out: &mut Output) -> Result<Exit, Failure> {
    give(out, "hallpass.admin.org.keys/1", keys, |keys| {
        let mut table = Table::new(["KEY", "ALGORITHM", "STATE", "SIGNS FROM", "SIGNED UNTIL"]);
        for key in &keys.keys {
            table.row([
                &key.kid,
                &key.algorithm,
                &key.state,
                &key.signs_from,
                key.signed_until.as_deref().unwrap_or_default(),
            ]);
        }
        table.to_string()
    })
}
