//! For pnpm: the token of one registry, in a line.

use clap::Args;
use hallpass_holder::adapters::Place;
use zeroize::Zeroizing;

use super::{Desk, Further, remedy, tell_of_directory, unfit};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::targets::{At, Kind};

/// What pnpm's configuration says.
#[derive(Debug, Args)]
pub(super) struct PnpmArgs {
    /// The registry, as in config.toml
    #[arg(value_name = "URL", value_parser = |text: &str| text.parse::<Place>())]
    registry: Place,
}

pub(super) async fn answer(args: &PnpmArgs, out: &mut Output) -> Result<Exit, Failure> {
    match token(args, out).await {
        Ok(()) => Ok(Exit::DONE),
        Err(failure) => {
            out.tell(remedy(&failure));
            Ok(failure.exit())
        }
    }
}

async fn token(args: &PnpmArgs, out: &mut Output) -> Result<(), Failure> {
    let desk = Desk::open(Kind::Pnpm)?;
    // pnpm says nothing; its configuration names the registry beside the path of this program.
    let Some(meant) = desk.find(None, |at| matches!(at, At::Pnpm(place) if *place == args.registry))? else {
        return Err(Failure::no(format_args!(
            "`{}` is not a registry of an entry in config.toml",
            args.registry
        )));
    };
    tell_of_directory(out)?;
    let given = meant.token(Further::default()).await?;
    let handed = given.handed();
    // With its scheme: older versions send what they read, newer ones add the scheme where there is none.
    let line = Zeroizing::new(format!("Bearer {}\n", handed.line().ok_or_else(unfit)?));
    out.piece(line.as_bytes())
}
