//! The hidden command that renews many times in one process, as `hallpass token --fresh` does once: for each line it reads,
//! with the code for an answer. So a process can be in its second hour, and not always in its first breath, when it is killed.

use clap::Args;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::failure::{Exit, Failure};
use crate::holding::WhichArgs;
use crate::output::Output;

/// Whose turns.
#[derive(Debug, Args)]
pub(crate) struct TurnsArgs {
    #[command(flatten)]
    which: WhichArgs,
}

/// Until nobody asks any more.
pub(crate) async fn turns(args: TurnsArgs, out: &mut Output) -> Result<Exit, Failure> {
    let holder = args.which.holder.open()?;
    let identity = args.which.find(&holder, out)?;
    let mut asked = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = asked.next_line().await {
        let exit = match holder.renew(&identity).await {
            Ok(()) => Exit::DONE,
            Err(error) => Failure::from(error).exit(),
        };
        out.answer(exit.code())?;
    }
    holder.settled().await;
    Ok(Exit::DONE)
}
