//! `hallpass trust`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::binding::{self, Binding};
use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};

/// Follow what a directory's `.hallpass.toml` says, as it is now
///
/// It may name a profile, an issuer, an organisation, an API and scopes, and nothing else. When it changes it is not
/// followed until somebody has looked at it again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cat .hallpass.toml && hallpass trust
  hallpass trust ~/src/project --undo")]
pub(crate) struct TrustArgs {
    /// The directory, or its file; this one otherwise
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,

    /// Do not follow it any more
    #[arg(long)]
    undo: bool,
}

/// `hallpass.trust/1`.
#[derive(Serialize)]
struct Answer<'a> {
    file: String,
    trusted: bool,
    profile: Option<&'a str>,
    issuer: Option<&'a str>,
    org: Option<&'a str>,
    resources: &'a [String],
    scopes: &'a [String],
}

pub(crate) fn trust(args: &TrustArgs, out: &mut Output) -> Result<Exit, Failure> {
    let file = file(args)?;
    if args.undo {
        let was = binding::undo(&file)?;
        if !was {
            out.say("it was not trusted; there was nothing to do");
        }
        return answer(&file, None, out);
    }
    let text = binding::read(&file)?
        .ok_or_else(|| Failure::usage(format_args!("there is no `{}`", file.display())))?;
    let binding = Binding::parse(&file, text.clone())?;
    binding::trust(&file, &text)?;
    answer(&file, Some(&binding), out)
}

/// The file, by the path that is found from below: without links in its folders.
fn file(args: &TrustArgs) -> Result<PathBuf, Failure> {
    let named = match args.path.file_name() {
        Some(name) if name == binding::FILE => args.path.parent().map(PathBuf::from).unwrap_or_default(),
        _ => args.path.clone(),
    };
    let named = if named.as_os_str().is_empty() { PathBuf::from(".") } else { named };
    let folder = named
        .canonicalize()
        .map_err(|error| Failure::usage(format_args!("there is no folder `{}`: {error}", named.display())))?;
    Ok(folder.join(binding::FILE))
}

fn answer(file: &std::path::Path, trusted: Option<&Binding>, out: &mut Output) -> Result<Exit, Failure> {
    let said = |of: fn(&Binding) -> Option<&str>| trusted.and_then(of);
    let (profile, issuer, org) = (
        said(|binding| binding.profile.as_ref().map(|profile| profile.as_str())),
        said(|binding| binding.issuer.as_deref()),
        said(|binding| binding.org.as_deref()),
    );
    let resources = trusted.map(|binding| binding.resources.as_slice()).unwrap_or_default();
    let scopes = trusted.map(|binding| binding.scopes.as_slice()).unwrap_or_default();
    let shown = file.display().to_string();
    if out.form() == Form::Json {
        let answer =
            Answer { file: shown, trusted: trusted.is_some(), profile, issuer, org, resources, scopes };
        out.json("hallpass.trust/1", &answer)?;
        return Ok(Exit::DONE);
    }
    match trusted {
        None => out.answer(format_args!("not followed any more: {shown}"))?,
        Some(_) => {
            out.answer(format_args!("followed from now on, as it is: {shown}"))?;
            let words = [("profile", profile), ("issuer", issuer), ("org", org)];
            for (name, value) in words.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
                out.answer(format_args!("  {name:<10} {value}"))?;
            }
            for resource in resources {
                out.answer(format_args!("  {:<10} {resource}", "api"))?;
            }
            for scope in scopes {
                out.answer(format_args!("  {:<10} {scope}", "scope"))?;
            }
        }
    }
    Ok(Exit::DONE)
}
