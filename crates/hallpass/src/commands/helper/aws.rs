//! For AWS programs: `credential_process`, or with `--serve` the endpoint that containers have, for one command.

use std::ffi::OsString;

use clap::Args;
use hallpass_holder::RoleRequest;
use hallpass_holder::adapters::aws::{Session, session_name};
use url::Url;

use super::{Desk, Further, of_target, remedy, tell_of_directory};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::targets::{At, Kind};

mod endpoint; // where a command asks again, for as long as it runs

/// Which role, and for whom.
#[derive(Debug, Args)]
pub(super) struct AwsArgs {
    /// The role, as in config.toml
    #[arg(long, value_name = "ARN")]
    role: String,

    /// Serve it to one command, for as long as that runs, instead of printing it once
    #[arg(long, requires = "command")]
    serve: bool,

    /// The command and its arguments, with `--serve`
    #[arg(last = true, value_name = "COMMAND", requires = "serve")]
    command: Vec<OsString>,
}

pub(super) async fn answer(args: AwsArgs, out: &mut Output) -> Result<Exit, Failure> {
    if args.serve {
        return endpoint::run(args.role, &args.command)
            .await
            .map_err(|failure| failure.leaving_with(Exit::EXEC_FAILED));
    }
    tell_of_directory(out)?;
    match session(&args.role).await {
        Ok(session) => {
            out.piece(&session.for_process())?;
            Ok(Exit::DONE)
        }
        Err(failure) => {
            out.tell(remedy(&failure)); // programs quote it, and log it: nothing secret is in a failure
            Ok(failure.exit())
        }
    }
}

/// Takes on the role.
async fn session(wanted: &str) -> Result<Session, Failure> {
    let desk = Desk::open(Kind::Aws)?;
    let Some(meant) = desk.find(None, |at| matches!(at, At::Aws { role, .. } if role.arn() == wanted))?
    else {
        return Err(Failure::no("this role is in no entry of config.toml"));
    };
    let At::Aws { sts, role, lasts } = &meant.target.at else {
        return Err(Failure::no("this role is in no entry of config.toml"));
    };
    let sts = format!("{sts}/");
    let request = RoleRequest {
        role: role.clone(),
        sts: Url::parse(&sts)
            .map_err(|error| Failure::usage(format_args!("`{sts}` is no address: {error}")))?,
        session_name: session_name(&meant.desk.person(&meant.identity)),
        seconds: lasts.as_seconds(),
        pass: meant.request(Further::default()),
    };
    desk.holder.assume_role(&meant.identity, &request).await.map_err(|error| of_target(error, meant.target))
}
