//! `hallpass profile`: names for sign-ins, and whom and what each was pinned to.

use clap::{Args, Subcommand};
use hallpass_holder::{Holder, HolderError, Identity, Profile, ProfileName};
use serde::Serialize;

use super::logout;
use crate::config::{self, Config};
use crate::failure::{Exit, Failure};
use crate::holding::{HolderArgs, WhichArgs};
use crate::output::{Form, Output};

/// List, show, choose, rename and remove profiles
#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    #[command(subcommand)]
    command: ProfileCommand,
}

#[derive(Debug, Subcommand)]
enum ProfileCommand {
    /// List the profiles there are
    List(HolderArgs),
    /// Show the sign-in that is meant here and who says so, and what it was pinned to
    #[command(after_help = "\
Examples:
  hallpass profile show
  hallpass profile show --profile work --json")]
    Show(WhichArgs),
    /// Make a profile the one that is meant when nothing else says so
    Use(UseArgs),
    /// Give a profile another name
    Rename(RenameArgs),
    /// Sign out of a profile and forget whom it was pinned to
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
struct UseArgs {
    /// The profile
    #[arg(value_name = "NAME", required_unless_present = "none")]
    name: Option<ProfileName>,

    /// Have no default from now on
    #[arg(long, conflicts_with = "name")]
    none: bool,

    #[command(flatten)]
    holder: HolderArgs,
}

#[derive(Debug, Args)]
struct RenameArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: ProfileName,

    /// Its name from now on
    #[arg(value_name = "NEW")]
    to: ProfileName,

    #[command(flatten)]
    holder: HolderArgs,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: ProfileName,

    #[command(flatten)]
    holder: HolderArgs,
}

/// `hallpass.profiles/1`.
#[derive(Serialize)]
struct Listed<'a> {
    profiles: Vec<Shown<'a>>,
}

/// `hallpass.profile/1`, and one of those.
#[derive(Serialize)]
struct Shown<'a> {
    profile: Option<&'a str>,
    issuer: Option<&'a str>,
    client_id: Option<&'a str>,
    signed_in: bool,
    is_default: bool,
    /// Who says that it is the one that is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    chosen_by: Option<&'a str>,
    person: Option<&'a str>,
    subject: Option<&'a str>,
    orgs: &'a [String],
    audience: Option<&'a str>,
    resources: &'a [String],
    scope: Option<String>,
    last_signed_in: Option<String>,
}

/// `hallpass.profile.changed/1`.
#[derive(Serialize)]
struct Changed<'a> {
    profile: Option<&'a str>,
    renamed_from: Option<&'a str>,
    is_default: bool,
}

pub(crate) async fn profile(args: ProfileArgs, out: &mut Output) -> Result<Exit, Failure> {
    match args.command {
        ProfileCommand::List(holder) => list(&holder.open()?, out),
        ProfileCommand::Show(which) => show(&which, out),
        ProfileCommand::Use(args) => default(&args, out),
        ProfileCommand::Rename(args) => rename(args, out).await,
        ProfileCommand::Remove(args) => remove(args, out).await,
    }
}

fn list(holder: &Holder, out: &mut Output) -> Result<Exit, Failure> {
    let (known, config) = (holder.profiles()?, Config::load()?);
    let default = config.default_profile.as_ref();
    let mut shown: Vec<_> = known.iter().map(|profile| Shown::of(profile, default)).collect();
    let only_set = config
        .profiles
        .iter()
        .filter(|(name, _)| !known.iter().any(|profile| profile.identity.profile.as_ref() == Some(name)));
    shown.extend(only_set.map(|(name, set)| Shown {
        profile: Some(name.as_str()),
        issuer: set.issuer.as_deref(),
        client_id: set.client_id.as_deref(),
        is_default: default == Some(name),
        ..Shown::nothing()
    }));
    shown.sort_by_key(|one| one.profile);
    if out.form() == Form::Json {
        out.json("hallpass.profiles/1", &Listed { profiles: shown })?;
        return Ok(Exit::DONE);
    }
    if shown.is_empty() {
        out.say("there are no profiles: `hallpass login ISSUER --profile NAME` makes one");
    }
    for one in shown {
        let mark = if one.is_default { "*" } else { " " };
        let state = if one.signed_in { "signed in" } else { "signed out" };
        let who = one.person.or(one.subject).unwrap_or("nobody yet");
        let (name, issuer) = (one.profile.unwrap_or_default(), one.issuer.unwrap_or("no issuer yet"));
        out.answer(format_args!("{mark} {name:<16} {state:<10} {who} at {issuer}"))?;
    }
    Ok(Exit::DONE)
}

fn show(which: &WhichArgs, out: &mut Output) -> Result<Exit, Failure> {
    let holder = which.holder.open()?;
    // One that was named is shown also while nobody is signed in.
    let signed_out = match &which.profile {
        Some(name) => holder.profile(name)?.filter(|profile| !profile.signed_in),
        None => None,
    };
    let (identity, chosen_by) = match &signed_out {
        Some(profile) => (profile.identity.clone(), "the command line".to_owned()),
        None => which.find_any(&holder, out)?,
    };
    let default = Config::load()?.default_profile;
    let profile = match &identity.profile {
        Some(name) => holder.profile(name)?,
        None => None,
    };
    let mut shown = match &profile {
        Some(profile) => Shown::of(profile, default.as_ref()),
        None => Shown {
            profile: identity.profile.as_ref().map(ProfileName::as_str),
            issuer: Some(&identity.issuer),
            client_id: Some(&identity.client_id),
            signed_in: true,
            ..Shown::nothing()
        },
    };
    shown.chosen_by = Some(if chosen_by.is_empty() { "being the only one" } else { &chosen_by });
    match out.form() {
        Form::Json => out.json("hallpass.profile/1", &shown)?,
        Form::Text => shown.lines().into_iter().try_for_each(|line| out.answer(line))?,
    }
    Ok(Exit::DONE)
}

fn default(args: &UseArgs, out: &mut Output) -> Result<Exit, Failure> {
    if let Some(name) = &args.name {
        let known = args.holder.open()?.profile(name)?.is_some();
        if !known && !Config::load()?.profiles.contains_key(name) {
            return Err(Failure::usage(format_args!("there is no profile `{name}`"))
                .hint("`hallpass profile list` shows those there are"));
        }
    }
    let file = config::set_default(args.name.as_ref())?;
    changed(args.name.as_ref(), None, args.name.is_some(), out)?;
    out.say(format_args!("written down in {}", file.display()));
    Ok(Exit::DONE)
}

async fn rename(args: RenameArgs, out: &mut Output) -> Result<Exit, Failure> {
    let holder = args.holder.open()?;
    holder.rename_profile(&args.name, &args.to).await?;
    let config = Config::load()?;
    let is_default = config.default_profile.as_ref() == Some(&args.name);
    if is_default {
        config::set_default(Some(&args.to))?;
    }
    if config.profiles.contains_key(&args.name) {
        out.warn(format_args!(
            "the settings speak of `{}` still: change `[profile.{}]` there",
            args.name, args.name
        ));
    }
    changed(Some(&args.to), Some(&args.name), is_default, out)?;
    Ok(Exit::DONE)
}

async fn remove(args: RemoveArgs, out: &mut Output) -> Result<Exit, Failure> {
    let holder = args.holder.open()?;
    let known = holder.profile(&args.name)?;
    let Some(Profile { identity, signed_in, .. }) = known else {
        return Err(Failure::usage(format_args!("there is no profile `{}`", args.name))
            .hint("`hallpass profile list` shows those there are"));
    };
    let prints = holder.prints(std::slice::from_ref(&identity))?;
    let receipts = if signed_in { sign_out(&holder, &identity).await? } else { Vec::new() };
    // Whom it was pinned to is forgotten last: whoever is stopped before can try again.
    holder.forget_profile(&args.name)?;
    if Config::load()?.default_profile.as_ref() == Some(&args.name) {
        config::set_default(None)?;
        out.say("it was the default; there is none now");
    }
    logout::tell(&receipts, &prints, out)
}

async fn sign_out(holder: &Holder, identity: &Identity) -> Result<Vec<hallpass_holder::Receipt>, Failure> {
    match holder.logout(identity).await {
        Ok(receipt) => Ok(vec![receipt]),
        Err(HolderError::NotSignedIn { .. }) => Ok(Vec::new()), // somebody else was quicker
        Err(error) => Err(error.into()),
    }
}

fn changed(
    profile: Option<&ProfileName>,
    from: Option<&ProfileName>,
    is_default: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    if out.form() == Form::Json {
        let (profile, renamed_from) = (profile.map(ProfileName::as_str), from.map(ProfileName::as_str));
        return out.json("hallpass.profile.changed/1", &Changed { profile, renamed_from, is_default });
    }
    match (profile, from) {
        (Some(to), Some(from)) => out.answer(format_args!("`{from}` is `{to}` from now on")),
        (Some(name), None) => out.answer(format_args!("`{name}` is the default from now on")),
        (None, _) => out.answer("there is no default from now on"),
    }
}

impl<'a> Shown<'a> {
    fn nothing() -> Self {
        Self {
            profile: None,
            issuer: None,
            client_id: None,
            signed_in: false,
            is_default: false,
            chosen_by: None,
            person: None,
            subject: None,
            orgs: &[],
            audience: None,
            resources: &[],
            scope: None,
            last_signed_in: None,
        }
    }

    fn of(profile: &'a Profile, default: Option<&ProfileName>) -> Self {
        let name = profile.identity.profile.as_ref();
        Self {
            profile: name.map(ProfileName::as_str),
            issuer: Some(&profile.identity.issuer),
            client_id: Some(&profile.identity.client_id),
            signed_in: profile.signed_in,
            is_default: name.is_some() && name == default,
            chosen_by: None,
            person: profile.person.as_deref(),
            subject: profile.subject.as_deref(),
            orgs: &profile.orgs,
            audience: profile.audience.as_deref(),
            resources: &profile.resources,
            scope: Some(profile.scope.to_string()),
            last_signed_in: Some(profile.last.to_string()),
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.profile.unwrap_or("a sign-in without a name").to_owned()];
        let mut row = |name: &str, text: Option<&str>| {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                lines.push(format!("  {name:<10} {text}"));
            }
        };
        row("chosen by", self.chosen_by);
        row("issuer", self.issuer);
        row("client", self.client_id);
        row("who", self.person);
        row("subject", self.subject);
        row("org", Some(&self.orgs.join(", ")));
        row("audience", self.audience);
        for resource in self.resources {
            row("api", Some(resource));
        }
        row("scope", self.scope.as_deref());
        row("signed in", Some(if self.signed_in { "now" } else { "no" }));
        row("last", self.last_signed_in.as_deref());
        lines
    }
}
