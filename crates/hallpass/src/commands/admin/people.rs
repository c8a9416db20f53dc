//! `hallpass admin person`.

use clap::{Args, Subcommand};

use super::owners::say_left;
use super::table::{Table, facts};
use super::{HandleArgs, OrgArg, give, give_list};
use crate::admin_socket::client::AdminClient;
use crate::ask;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{
    LinkShown, ListOf, OneOf, PasskeyRemove, PasskeyShown, PersonAdd, PersonAdded, PersonErased, PersonShown,
};

/// Add, list, show, disable and enable people; their links and passkeys
#[derive(Debug, Subcommand)]
pub(super) enum PersonCommand {
    /// Add a person and print their enrolment link
    ///
    /// The link is printed once and opens once. The org's administrators answer for a person: that team is the
    /// owner.
    #[command(after_help = "\
Example:
  hallpass admin person add grace --name 'Grace Hopper' --org acme")]
    Add(PersonAddArgs),
    /// List the people of an org
    List(OrgArg),
    /// Show a person
    Show(HandleArgs),
    /// Take a person out of use, and cut everything issued to them
    ///
    /// The clients and resources they answered for, alone or as the last active member of a team, are suspended in the same
    /// step, and listed: nothing is issued to them or for them, and what was is cut, until somebody takes them over with
    /// `hallpass admin owner transfer`.
    Disable(HandleArgs),
    /// Put a person back to use; what was cut stays cut, and what is suspended stays so until somebody takes it over
    Enable(HandleArgs),
    /// Print a new enrolment link, for a person who lost theirs or every passkey
    Link(HandleArgs),
    /// Erase from the ledger what is personal about a person: names, addresses, devices
    ///
    /// The entries stand, say that something was erased, and still verify. It cannot be undone. Backups that were made
    /// before hold it still; and so does the directory what it needs: disable the person there.
    Erase(EraseArgs),
    /// List or remove a person's passkeys
    #[command(subcommand)]
    Passkey(PasskeyCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum PasskeyCommand {
    /// List a person's passkeys
    List(HandleArgs),
    /// Remove a passkey that its person has lost
    Remove(PasskeyRemoveArgs),
}

#[derive(Debug, Args)]
pub(super) struct PersonAddArgs {
    /// The short name typed at login
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// The name shown to people; the short name if left out
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    person: HandleArgs,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Ask nobody anything: fail instead (HALLPASS_NO_INPUT)
    #[arg(long)]
    no_input: bool,
}

#[derive(Debug, Args)]
pub(super) struct PasskeyRemoveArgs {
    /// The person's short name
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// The passkey, as `hallpass admin person passkey list` shows it
    #[arg(value_name = "PASSKEY")]
    passkey: String,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: PersonCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        PersonCommand::Add(args) => {
            let form = PersonAdd { org: args.org.org, handle: args.handle, name: args.name };
            let added: PersonAdded = server.ask("person.add", &form).await?;
            out.say(format_args!(
                "added `{}`, who enrols here, once, until {}:",
                added.person.handle, added.link.expires
            ));
            give(out, "hallpass.admin.person-added/1", &added, |added| added.link.url.text().to_owned())
        }
        PersonCommand::List(args) => {
            let people: Vec<PersonShown> =
                server.ask("person.list", &ListOf { org: args.org, after: None, limit: None }).await?;
            give_list(out, "hallpass.admin.people/1", &people, "nobody yet", |people| {
                let mut table = Table::new(["HANDLE", "NAME", "STATE", "TEAMS", "ID"]);
                for person in people {
                    table.row([
                        &person.handle,
                        &person.name,
                        &person.state,
                        &person.teams.join(","),
                        &person.id,
                    ]);
                }
                table
            })
        }
        PersonCommand::Show(args) => show(server.ask("person.show", &one(args)).await?, out),
        PersonCommand::Disable(args) => {
            let person: PersonShown = server.ask("person.disable", &one(args)).await?;
            out.say(format_args!("disabled `{}` and cut everything issued to them", person.handle));
            say_left(&person.suspended, &person.handed_over, out);
            show(person, out)
        }
        PersonCommand::Enable(args) => {
            let person: PersonShown = server.ask("person.enable", &one(args)).await?;
            out.say(format_args!("enabled `{}`; what was cut stays cut", person.handle));
            show(person, out)
        }
        PersonCommand::Link(args) => {
            let link: LinkShown = server.ask("person.link", &one(args)).await?;
            out.say(format_args!("opens once, until {}:", link.expires));
            give(out, "hallpass.admin.link/1", &link, |link| link.url.text().to_owned())
        }
        PersonCommand::Erase(args) => erase(args, server, out).await,
        PersonCommand::Passkey(command) => passkey(command, server, out).await,
    }
}

async fn erase(args: EraseArgs, server: &mut AdminClient, out: &mut Output) -> Result<Exit, Failure> {
    if !args.yes {
        let question =
            format!("erase for good what the ledger holds that is personal about `{}`?", args.person.handle);
        ask::confirm(out, args.no_input, &question)?;
    }
    let erased: PersonErased = server.ask("person.erase", &one(args.person)).await?;
    out.say(format_args!(
        "erased what was personal about `{}` in {} entries; the entries stand",
        erased.handle, erased.entries
    ));
    give(out, "hallpass.admin.person-erased/1", &erased, |_| String::new())
}

async fn passkey(
    command: PasskeyCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        PasskeyCommand::List(args) => {
            let passkeys: Vec<PasskeyShown> = server.ask("person.passkey.list", &one(args)).await?;
            give_list(out, "hallpass.admin.passkeys/1", &passkeys, "no passkey yet", |passkeys| {
                let mut table = Table::new(["PASSKEY", "NAME", "ADDED", "LAST USED"]);
                for passkey in passkeys {
                    table.row([
                        &passkey.id,
                        &passkey.name,
                        &passkey.created,
                        passkey.used.as_deref().unwrap_or("never"),
                    ]);
                }
                table
            })
        }
        PasskeyCommand::Remove(args) => {
            let form = PasskeyRemove { org: args.org.org, handle: args.handle, passkey: args.passkey };
            let removed: PasskeyShown = server.ask("person.passkey.remove", &form).await?;
            out.say(format_args!("removed the passkey `{}`", removed.name));
            give(out, "hallpass.admin.passkey/1", &removed, |_| String::new())
        }
    }
}

fn one(args: HandleArgs) -> OneOf {
    OneOf { org: args.org.org, handle: args.handle }
}

fn show(person: PersonShown, out: &mut Output) -> Result<Exit, Failure> {
    give(out, "hallpass.admin.person/1", &person, |person| {
        facts([
            ("handle", person.handle.clone()),
            ("name", person.name.clone()),
            ("id", person.id.clone()),
            ("owner", person.owner.clone()),
            ("state", person.state.clone()),
            ("teams", person.teams.join(", ")),
            ("added", person.created.clone()),
        ])
    })
}
