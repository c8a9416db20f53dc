//! For docker, podman, skopeo and buildah: `get`, `store`, `erase`, `list` and `version`. Errors go to standard output.

use std::ffi::OsString;

use hallpass_holder::adapters::docker::{self, NOT_FOUND};

use super::{Desk, Further, Meant, question, remedy, tell_of_directory, unfit};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::targets::{At, Kind};

const USAGE: &str = "Usage: docker-credential-hallpass <store|get|erase|list|version>";

pub(super) async fn answer(words: &[OsString], out: &mut Output) -> Result<Exit, Failure> {
    let [word] = words else {
        out.answer(USAGE)?;
        return Ok(Exit::NO);
    };
    let told = match word.to_str() {
        Some("get") => get(out).await,
        Some("store") => store(),
        Some("erase") => erase(),
        Some("list") => list(out),
        Some("version" | "--version" | "-v") => {
            out.answer(concat!("docker-credential-hallpass (hallpass) v", env!("CARGO_PKG_VERSION")))
        }
        Some("help" | "--help" | "-h") => out.answer(USAGE),
        _ => Err(Failure::usage("docker-credential-hallpass: unknown action")),
    };
    match told {
        Ok(()) => Ok(Exit::DONE),
        Err(failure) => {
            // Clients compare some of these to the letter, so those stand alone.
            let alone = [NOT_FOUND, docker::NO_SERVER, docker::NO_USERNAME].contains(&failure.message());
            match alone {
                true => out.answer(failure.message())?,
                false => out.answer(remedy(&failure))?,
            }
            Ok(Exit::NO)
        }
    }
}

async fn get(out: &mut Output) -> Result<(), Failure> {
    let server = docker::server(&question()?)?;
    let desk = Desk::open(Kind::Docker)?;
    let Some(meant) = meant(&desk, &server)? else { return Err(Failure::no(NOT_FOUND)) };
    tell_of_directory(out)?;
    let given = meant.token(Further::default()).await?;
    out.piece(&docker::answer(&server, &given.handed()).ok_or_else(unfit)?)
}

/// What `docker login` would keep for a registry of ours is ours already; what is somebody else's is not kept here.
fn store() -> Result<(), Failure> {
    let server = docker::stored(&question()?)?;
    match meant(&Desk::open(Kind::Docker)?, &server)? {
        Some(_) => Ok(()),
        None => {
            Err(Failure::refused("passwords are not kept here").hint("use another helper for this registry"))
        }
    }
}

/// `docker logout`. Nothing is logged out; the token that is kept is not handed out again.
fn erase() -> Result<(), Failure> {
    let server = docker::server(&question()?)?;
    match meant(&Desk::open(Kind::Docker)?, &server)? {
        Some(meant) => meant.not_taken(None),
        None => Err(Failure::no(NOT_FOUND)),
    }
}

fn list(out: &mut Output) -> Result<(), Failure> {
    let desk = Desk::open(Kind::Docker)?;
    let names: Vec<_> = desk
        .targets
        .iter()
        .filter_map(|target| match &target.at {
            At::Docker(place) => Some((place, target.username(None)?)),
            _ => None,
        })
        .collect();
    out.answer(docker::list(names.iter().map(|(place, name)| (*place, name.as_str()))))
}

fn meant<'a>(desk: &'a Desk, server: &str) -> Result<Option<Meant<'a>>, Failure> {
    desk.find(None, |at| matches!(at, At::Docker(place) if docker::is_for(place, server)))
}
