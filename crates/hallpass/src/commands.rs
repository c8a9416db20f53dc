//! Every command on one page.

use clap::Subcommand;

use crate::failure::{Exit, Failure};
use crate::output::Output;

mod admin;
mod agents;
mod advise;
mod assess;
mod completions;
mod curl;
mod daemon;
mod doctor;
mod exec;
mod helper;
mod ledger;
mod login;
mod logout;
mod man;
mod mcp_proxy;
mod profile;
mod report;
mod serve;
mod setup;
mod status;
mod token;
mod torture;
mod trust;
mod wrap;

/// What can be asked of `hallpass`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Login(login::LoginArgs),
    Exec(exec::ExecArgs),
    Token(token::TokenArgs),
    Curl(curl::CurlArgs),
    McpProxy(mcp_proxy::McpProxyArgs),
    Status(status::StatusArgs),
    Agents(Box<agents::AgentsArgs>),
    Logout(logout::LogoutArgs),
    Report(report::ReportArgs),
    Profile(profile::ProfileArgs),
    Trust(trust::TrustArgs),
    Setup(setup::SetupArgs),
    Doctor(doctor::DoctorArgs),
    Wrap(wrap::WrapArgs),
    Assess(assess::AssessArgs),
    Advise(advise::AdviseArgs),
    Daemon(daemon::DaemonArgs),
    Helper(helper::HelperArgs),
    Torture(torture::TortureArgs),
    Serve(serve::ServeArgs),
    Admin(admin::AdminArgs),
    Ledger(ledger::LedgerArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    /// Become a tool that is assessed, in a session of its own
    #[command(name = assess::run::RUN, hide = true)]
    AssessRun(assess::run::BecomingArgs),
    /// Watch a run and end what it leaves behind
    #[command(name = exec::WATCH, hide = true)]
    WatchRun,
    /// Tell a run for whom a signal was
    #[command(name = exec::WITNESS, hide = true)]
    WitnessRun,
    /// Renew whenever a line comes
    #[command(name = torture::TURNS, hide = true)]
    TortureTurns(torture::TurnsArgs),
    /// Hold a run's files in memory
    #[command(name = exec::FILES, hide = true)]
    FilesRun,
    /// Lead the session of a command with a terminal of its own
    #[command(name = exec::TERMINAL, hide = true)]
    TerminalRun(exec::BecomingArgs),
    /// Become a command when it is its turn
    #[command(name = exec::TURN, hide = true)]
    TurnRun(exec::BecomingArgs),
}

pub(crate) use helper::called_as;

/// Runs one command to its end.
pub(crate) fn run(command: Command, out: &mut Output) -> Result<Exit, Failure> {
    match command {
        Command::Login(args) => on_this_thread(login::login(args, out)),
        Command::Exec(args) => on_this_thread(exec::exec(args, out)).map_err(exec::ours),
        Command::Token(args) => on_this_thread(token::token(args, out)),
        Command::Curl(args) => on_this_thread(curl::curl(args, out)),
        Command::McpProxy(args) => on_this_thread(mcp_proxy::mcp_proxy(args, out)),
        Command::Status(args) => status::status(&args, out),
        Command::Agents(args) => on_this_thread(agents::agents(*args, out)),
        Command::Logout(args) => on_this_thread(logout::logout(args, out)),
        Command::Report(args) => on_this_thread(report::report(args, out)),
        Command::Profile(args) => on_this_thread(profile::profile(args, out)),
        Command::Trust(args) => trust::trust(&args, out),
        Command::Setup(args) => setup::setup(args, out),
        Command::Doctor(args) => on_this_thread(doctor::doctor(args, out)),
        Command::Wrap(args) => on_this_thread(wrap::wrap(args, out)).map_err(exec::ours),
        Command::Daemon(args) => daemon::daemon(args, out),
        Command::Helper(args) => on_this_thread(helper::helper(args, out)),
        Command::Torture(args) => on_this_thread(torture::torture(args, out)),
        Command::TortureTurns(args) => on_this_thread(torture::turns(args, out)),
        Command::Advise(args) => advise::advise(&args, out),
        Command::Assess(args) => on_this_thread(assess::assess(args, out)),
        Command::AssessRun(args) => assess::run::become_tool(&args),
        Command::WatchRun => on_this_thread(exec::watch()),
        Command::WitnessRun => exec::witness(),
        Command::FilesRun => exec::hold_files(),
        Command::TerminalRun(args) => exec::lead_terminal(&args),
        Command::TurnRun(args) => exec::take_turn(&args),
        Command::Serve(args) => serve::serve(args, out),
        Command::Admin(args) => on_this_thread(admin::admin(args, out)),
        Command::Ledger(args) => on_this_thread(ledger::ledger(args, out)),
        Command::Completions(args) => completions::completions(&args, out),
        Command::Man(args) => man::man(&args, out),
    }
}

/// A command is one thing at a time: the runtime needs no thread of its own, and starts at once.
pub(crate) fn on_this_thread(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::could_not_run(format_args!("cannot start: {error}")))?;
    runtime.block_on(work)
}
