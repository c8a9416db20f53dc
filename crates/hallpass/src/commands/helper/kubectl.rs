//! For kubectl and every other client of Kubernetes.

use hallpass_holder::adapters::kubectl::Question;

use super::{Desk, Further, remedy, tell_of_directory, unfit};
use crate::env;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::targets::{At, Kind};

pub(super) async fn answer(out: &mut Output) -> Result<Exit, Failure> {
    match credential(out).await {
        Ok(()) => Ok(Exit::DONE),
        Err(failure) => {
            out.tell(remedy(&failure)); // clients show it
            Ok(failure.exit())
        }
    }
}

async fn credential(out: &mut Output) -> Result<(), Failure> {
    let info = env::KUBERNETES_EXEC_INFO.text();
    let info = info.ok_or_else(|| {
        Failure::usage("KUBERNETES_EXEC_INFO is not set: only clients of Kubernetes run this")
    })?;
    let question = Question::parse(info.as_bytes())?;
    let desk = Desk::open(Kind::Kubectl)?;
    let fits = |at: &At| matches!(at, At::Kubectl { server, .. } if server.holds(&question.server));
    let Some(meant) = desk.find(None, fits)? else {
        return Err(Failure::no(format_args!(
            "`{}` is not a cluster of an entry in config.toml",
            question.server
        )));
    };
    // SECURITY: a kubeconfig that was written for another tenant says so.
    if let Some(issuer) = &question.issuer
        && *issuer != meant.identity.issuer
    {
        return Err(Failure::refused("the kubeconfig means another issuer than the entry in config.toml"));
    }
    tell_of_directory(out)?;
    let given = meant.token(Further::default()).await?;
    out.piece(&question.answer(&given.handed()).ok_or_else(unfit)?)
}
