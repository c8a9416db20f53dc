//! `hallpass admin`: what the operator may do, through the server's admin socket, or somebody of an org through its API.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::holding::WhichArgs;
use crate::output::{Form, Output};
use crate::settings::{self, Settings};

mod agents;
mod backup;
mod client_proofs;
mod clients;
mod credential_kinds;
mod devices;
mod documents;
mod registration;
mod keys;
mod links;
mod notices;
mod orgs;
mod owners;
mod people;
mod providers;
mod resources;
mod sessions;
mod step_up;
pub(super) mod table;
mod teams;
mod trusts;

pub(super) use table::plain;

/// Run the server's orgs, people, clients, resources, trusts and API keys
///
/// Speaks to a running `hallpass serve` on this machine through the socket in its data folder, which answers
/// the server's own user and root only. With `--at ISSUER` it speaks to an org's API instead, as you: an administrator, a
/// responder, an auditor, or whoever answers for the thing.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  hallpass admin org add acme --administrator ada
  hallpass admin person add grace --name 'Grace Hopper'
  hallpass admin resource add https://notes.example --owner person:ada \\
      --environment prod --scope notes:read
  hallpass admin client add notes-api --kind service --owner person:ada \\
      --new-key notes-api.pem
  hallpass admin session list --person grace
  hallpass admin --at https://id.example/acme client list"
)]
pub(crate) struct AdminArgs {
    #[command(subcommand)]
    what: AdminCommand,

    #[command(flatten)]
    place: PlaceArgs,
}

/// Where the server is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The server")]
pub(crate) struct PlaceArgs {
    /// The server's data folder
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// The server's settings file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,

    /// An org elsewhere, by its issuer's URL: with your own sign-in there, and what your roles let you do
    #[arg(long, global = true, value_name = "ISSUER", conflicts_with_all = ["data", "settings"])]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    #[command(subcommand)]
    Org(orgs::OrgCommand),
    #[command(subcommand)]
    Person(people::PersonCommand),
    #[command(subcommand)]
    Team(teams::TeamCommand),
    #[command(subcommand)]
    Client(clients::ClientCommand),
    #[command(subcommand)]
    Resource(resources::ResourceCommand),
    #[command(subcommand)]
    Trust(trusts::TrustCommand),
    #[command(subcommand)]
    Key(keys::KeyCommand),
    #[command(subcommand)]
    Owner(owners::OwnerCommand),
    #[command(subcommand)]
    Notice(notices::NoticeCommand),
    #[command(subcommand)]
    Device(devices::DeviceCommand),
    #[command(subcommand)]
    Session(sessions::SessionCommand),
    #[command(subcommand)]
    Agent(agents::AgentCommand),
    Lineage(agents::LineageArgs),
    Limits(orgs::LimitsArgs),
    Cut(sessions::CutArgs),
    Approve(sessions::ApproveArgs),
    CredentialKinds(credential_kinds::CredentialKindsArgs),
    SetupLink(links::SetupLinkArgs),
    Recover(links::RecoverArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
}

/// Runs one of the operator's commands.
pub(crate) async fn admin(args: AdminArgs, out: &mut Output) -> Result<Exit, Failure> {
    let place = &args.place;
    if let AdminCommand::Restore(restore) = args.what {
        // The one command that must not find a server.
        return backup::restore(restore, place, out);
    }
    if let AdminCommand::CredentialKinds(_) = args.what {
        return credential_kinds::show(out);
    }
    let mut server = place.client(out).await?;
    match args.what {
        AdminCommand::Org(command) => orgs::run(command, &mut server, out).await,
        AdminCommand::Person(command) => people::run(command, &mut server, out).await,
        AdminCommand::Team(command) => teams::run(command, &mut server, out).await,
        AdminCommand::Client(command) => clients::run(command, &mut server, out).await,
        AdminCommand::Resource(command) => resources::run(command, &mut server, out).await,
        AdminCommand::Trust(command) => trusts::run(command, &mut server, out).await,
        AdminCommand::Key(command) => keys::run(command, &mut server, out).await,
        AdminCommand::Owner(command) => owners::run(command, &mut server, out).await,
        AdminCommand::Notice(command) => notices::run(command, &mut server, out).await,
        AdminCommand::Device(command) => devices::run(command, &mut server, out).await,
        AdminCommand::Session(command) => sessions::run(command, &mut server, out).await,
        AdminCommand::Agent(command) => agents::run(command, &mut server, out).await,
        AdminCommand::Lineage(args) => agents::lineage(args, &mut server, out).await,
        AdminCommand::Limits(args) => orgs::limits(args, &mut server, out).await,
        AdminCommand::Cut(args) => sessions::cut(args, &mut server, out).await,
        AdminCommand::Approve(args) => sessions::approve(args, &mut server, out).await,
        AdminCommand::SetupLink(args) => links::setup_link(args, &mut server, out).await,
        AdminCommand::Recover(args) => links::recover(args, &mut server, out).await,
        AdminCommand::Backup(args) => backup::backup(args, &mut server, out).await,
        AdminCommand::Restore(_) | AdminCommand::CredentialKinds(_) => unreachable!("answered above"),
    }
}

impl PlaceArgs {
    /// The data folder that flags, environment or settings name.
    pub(crate) fn data(&self) -> Result<PathBuf, Failure> {
        settings::data_folder(self.settings.as_deref(), self.data.as_deref())
    }

    /// The settings of the server there: where its keys are, too.
    fn settings(&self) -> Result<Settings, Failure> {
        settings::of(self.settings.as_deref(), self.data.as_deref())
    }

    /// A connection to the server that runs there.
    pub(crate) async fn client(&self, out: &mut Output) -> Result<AdminClient, Failure> {
        let Some(issuer) = &self.at else { return AdminClient::connect(&self.data()?).await };
        let (holder, identity) = WhichArgs::at(issuer.clone()).whose(out)?;
        AdminClient::of_sign_in(&holder, &identity)
    }
}

/// The org a command speaks of.
#[derive(Debug, Clone, Args)]
struct OrgArg {
    /// The org; needed only where there are several
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
}

/// One thing of an org, by its short name.
#[derive(Debug, Clone, Args)]
struct HandleArgs {
    /// Its short name
    #[arg(value_name = "HANDLE")]
    handle: String,

    #[command(flatten)]
    org: OrgArg,
}

/// Gives the answer: the value itself as JSON, or what `text` makes of it.
fn give<A: Serialize>(
    out: &mut Output,
    schema: &str,
    answer: &A,
    text: impl FnOnce(&A) -> String,
) -> Result<Exit, Failure> {
    match out.form() {
        Form::Json => out.json(schema, answer)?,
        Form::Text => {
            let text = text(answer);
            if !text.is_empty() {
                out.answer(text.trim_end())?;
            }
        }
    }
    Ok(Exit::DONE)
}

/// Gives a list: a JSON object with its members in `list`, or a table; a person is told when it is empty.
fn give_list<A: Serialize>(
    out: &mut Output,
    schema: &str,
    list: &[A],
    nothing: &str,
    text: impl FnOnce(&[A]) -> table::Table,
) -> Result<Exit, Failure> {
    match out.form() {
        Form::Json => out.json(schema, &serde_json::json!({ "list": list }))?,
        Form::Text if list.is_empty() => out.say(nothing),
        Form::Text => out.answer(text(list).to_string().trim_end())?,
    }
    Ok(Exit::DONE)
}
