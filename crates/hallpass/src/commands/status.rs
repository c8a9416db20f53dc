//! `hallpass status`.

use clap::Args;
use hallpass_holder::{HolderError, Opened, Owed, Rung, Status, Unreadable, keyring_idle_life};
use hallpass_model::device::DeviceClass;
use serde::Serialize;

use super::login::sort_of;
use crate::failure::{Exit, Failure};
use crate::holding::WhichArgs;
use crate::output::{self, Form, Output};
use crate::surroundings;

/// Show who is signed in where, how far, and where the key rests
///
/// It says what is known here, and asks no issuer. The exit code is 4 if no sign-in stands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass status
  hallpass status --json")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    which: WhichArgs,
}

/// `hallpass.status/1`.
#[derive(Serialize)]
struct Answer {
    sign_ins: Vec<SignIn>,
    shared: Option<Shared>,
    foreign: Vec<Foreign>,
    unreadable: Vec<NotRead>,
    owed: Vec<StillOwed>,
}

/// A logout that could not be delivered yet.
#[derive(Serialize)]
pub(super) struct StillOwed {
    profile: Option<String>,
    issuer: String,
    client_id: String,
    what: Vec<String>,
    since: String,
    lives_until: Option<String>,
    tried: u32,
    why: String,
    given_up: bool,
}

/// A record that was made on another machine.
#[derive(Serialize)]
struct Foreign {
    issuer: String,
    client_id: String,
    file: String,
}

/// That others use this machine, or this user on it, too.
#[derive(Serialize)]
struct Shared {
    class: String,
    why: String,
}

/// A file that should be a record and does not even say whose it is.
#[derive(Serialize)]
struct NotRead {
    file: String,
    problem: String,
}

#[derive(Serialize)]
struct SignIn {
    profile: Option<String>,
    issuer: String,
    client_id: String,
    stands: bool,
    key: &'static str,
    key_lives: String,
    file: Option<String>,
    moved: bool,
    problem: Option<String>,
    /// An answer was for somebody else; only another login takes its place.
    quarantined: bool,
    #[serde(flatten)]
    opened: Option<Details>,
}

#[derive(Serialize)]
struct Details {
    person: Option<String>,
    subject: Option<String>,
    orgs: Vec<String>,
    scope: String,
    resources: Vec<String>,
    purpose: Option<String>,
    device_class: String,
    flow: String,
    signed_in: String,
    renewed: String,
    access_expires: Option<String>,
    /// The provider does not say: it is taken to be so.
    access_expires_assumed: bool,
    renewable: bool,
    bound: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_expires: Option<String>,
}

pub(crate) fn status(args: &StatusArgs, out: &mut Output) -> Result<Exit, Failure> {
    let holder = args.which.holder.open()?;
    let mut sign_ins = Vec::new();
    for identity in holder.list()? {
        if args.which.names(&identity)? {
            sign_ins.push(sign_in(holder.status(&identity)?));
        }
    }
    // Any of them may be the one that is meant.
    let not_read =
        |one: Unreadable| NotRead { file: one.file.display().to_string(), problem: one.why.to_string() };
    let shared = surroundings::host::shared(&surroundings::surroundings())?;
    let owed = holder.owed()?;
    let answer = Answer {
        sign_ins,
        shared: shared.map(|found| Shared { class: found.class.to_string(), why: found.why }),
        foreign: holder.foreign().into_iter().map(foreign).collect(),
        unreadable: holder.unreadable()?.into_iter().map(not_read).collect(),
        owed: owed.iter().map(still_owed).collect(),
    };
    let stands = answer.sign_ins.iter().any(|sign_in| sign_in.stands);
    if out.form() == Form::Text {
        warn_owed(&owed, out);
    }
    let written = match out.form() {
        Form::Json => out.json("hallpass.status/1", &answer),
        Form::Text if answer.sign_ins.is_empty() && answer.unreadable.is_empty() => {
            return Err(HolderError::NotSignedIn {
                issuer: args.which.issuer.clone(),
                profile: args.which.profile.clone(),
            }
            .into());
        }
        Form::Text => say(&answer, out),
    };
    output::leave(written, if stands { Exit::DONE } else { Exit::SIGN_IN })
}

fn say(answer: &Answer, out: &mut Output) -> Result<(), Failure> {
    answer.sign_ins.iter().flat_map(lines).try_for_each(|line| out.answer(line))?;
    for copy in &answer.foreign {
        out.say(format_args!("made on another machine, and opens there alone: {}", copy.file));
    }
    if let Some(shared) = &answer.shared {
        let why = &shared.why;
        out.warn(format_args!(
            "this {}: {why}",
            sort_of(shared.class.parse().unwrap_or(DeviceClass::SharedHost))
        ));
    }
    for one in &answer.unreadable {
        out.answer(format_args!("{}\n  {:<10} {}", one.file, "unreadable", one.problem))?;
    }
    if !answer.unreadable.is_empty() {
        out.warn("what cannot be read may be alive at its issuer; `hallpass logout` wipes it here");
    }
    Ok(())
}

/// Says what earlier logouts still owe.
fn warn_owed(all: &[Owed], out: &mut Output) {
    for owed in all {
        out.warn(owed_line(owed));
    }
}

/// One line about a logout that could not be delivered yet.
pub(super) fn owed_line(owed: &Owed) -> String {
    let (issuer, what, why) = (&owed.identity.issuer, owed.what.join(", "), &owed.why);
    match owed.given_up {
        true => format!("signed out of {issuer}, and {what} was never revoked: {why}"),
        false => format!(
            "signed out of {issuer}, and {what} is not revoked yet: {why}{}; `hallpass logout --retry` tries again",
            super::logout::until(owed)
        ),
    }
}

pub(super) fn still_owed(owed: &Owed) -> StillOwed {
    StillOwed {
        profile: owed.identity.profile.as_ref().map(ToString::to_string),
        issuer: owed.identity.issuer.clone(),
        client_id: owed.identity.client_id.clone(),
        what: owed.what.clone(),
        since: owed.since.to_string(),
        lives_until: owed.until.map(|until| until.to_string()),
        tried: owed.tried,
        why: owed.why.clone(),
        given_up: owed.given_up,
    }
}

fn foreign(copy: hallpass_holder::Foreign) -> Foreign {
    Foreign { issuer: copy.issuer, client_id: copy.client_id, file: copy.file.display().to_string() }
}

fn sign_in(status: Status) -> SignIn {
    let quarantined = matches!(&status.opened, Ok(Opened { quarantined: true, .. }));
    let (problem, opened) = match status.opened {
        Ok(opened) => (opened.ended.clone(), Some(details(opened))),
        Err(error) => (Some(error.to_string()), None),
    };
    SignIn {
        profile: status.identity.profile.as_ref().map(ToString::to_string),
        issuer: status.identity.issuer,
        client_id: status.identity.client_id,
        stands: problem.is_none(),
        key: status.rung.text(),
        key_lives: key_lives(status.rung),
        file: status.file.map(|file| file.display().to_string()),
        moved: status.moved,
        problem,
        quarantined,
        opened,
    }
}

fn details(opened: Opened) -> Details {
    Details {
        person: opened.person,
        subject: opened.subject,
        orgs: opened.orgs,
        scope: opened.scope.to_string(),
        resources: opened.resources,
        purpose: opened.purpose,
        device_class: opened.device_class.to_string(),
        flow: opened.flow.to_string(),
        signed_in: opened.signed_in.to_string(),
        renewed: opened.renewed.to_string(),
        access_expires: opened.expires.map(|expires| expires.to_string()),
        access_expires_assumed: opened.expires_assumed,
        renewable: opened.renewable,
        bound: opened.bound,
        api_key_expires: opened.api_key_ends.map(|ends| ends.to_string()),
    }
}

/// How long the key lives, as its rung has it.
pub(super) fn key_lives(rung: Rung) -> String {
    match rung {
        Rung::Keyring => match keyring_idle_life() {
            Some(idle) => format!("until logout, a reboot, or {idle} without use"),
            None => "until logout or a reboot".into(),
        },
        Rung::SecretService | Rung::Keychain | Rung::CredentialManager | Rung::Passphrase => {
            "until logout".into()
        }
        Rung::Tpm => "until logout, or the TPM is cleared".into(),
        Rung::Daemon => "until the daemon ends".into(),
        Rung::Memory => "until the command ends".into(),
    }
}

fn lines(sign_in: &SignIn) -> Vec<String> {
    let named = sign_in.profile.as_ref().map(|profile| format!("{profile}: ")).unwrap_or_default();
    let mut lines = vec![format!("{named}{}", sign_in.issuer)];
    let mut row = |name: &str, text: String| lines.push(format!("  {name:<10} {text}"));
    if let Some(problem) = &sign_in.problem {
        row(if sign_in.quarantined { "QUARANTINE" } else { "ended" }, problem.clone());
    }
    if let Some(opened) = &sign_in.opened {
        if let Some(ends) = &opened.api_key_expires {
            row("who", format!("client {}, by an API key that is good until {ends}", sign_in.client_id));
            row("since", opened.signed_in.clone());
        } else {
            let who = opened.person.as_deref().unwrap_or("somebody the provider does not name");
            row("who", format!("{who}, as client {}", sign_in.client_id));
            row("since", format!("{} ({} flow), renewed {}", opened.signed_in, opened.flow, opened.renewed));
        }
        if !opened.orgs.is_empty() {
            row("org", opened.orgs.join(", "));
        }
        if !opened.scope.is_empty() {
            row("scope", opened.scope.clone());
        }
        for resource in &opened.resources {
            row("api", resource.clone());
        }
        if let Some(purpose) = &opened.purpose {
            row("purpose", purpose.clone());
        }
        let bound = if opened.bound {
            "bound to a key of this machine"
        } else {
            "bearer tokens: whoever has one is you"
        };
        let renewed = match (opened.renewable, &opened.access_expires) {
            (true, _) if opened.access_expires_assumed => {
                "the provider does not say how long they live: renewed after ten minutes".to_owned()
            }
            (true, _) => "renewed when needed".to_owned(),
            (false, Some(expires)) => format!("good until {expires}"),
            (false, None) => "good for as long as the provider likes".to_owned(),
        };
        row("tokens", format!("{bound}; {renewed}"));
    }
    let rung = Rung::ALL.into_iter().find(|rung| rung.text() == sign_in.key).unwrap_or(Rung::Memory);
    row("key", format!("{rung}, {}", sign_in.key_lives));
    if sign_in.moved {
        row("note", "this machine has another id than when you signed in; it is used as it is".into());
    }
    lines
}
