//! A command-line program of somebody's own: its users sign in, and it asks its API.
//!
//! What it takes is in `account` and `run`; the rest would be there anyway.

use std::ffi::OsString;
use std::io::{stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hallpass_holder::app::{Account, App};
use hallpass_holder::cli::{AccountCommand, Console};
use hallpass_holder::environment::Environment;
use hallpass_holder::{HolderError, Secret};

/// Acme's notes, from the command line
#[derive(Parser)]
#[command(name = "acme", version)]
struct Acme {
    /// Where people sign in; a real program knows that
    #[arg(long, env = "ACME_ISSUER")]
    issuer: String,
    /// What this program is registered as there; a real program knows that too
    #[arg(long, env = "ACME_CLIENT_ID", default_value = "acme-cli")]
    client_id: String,
    /// The API
    #[arg(long, env = "ACME_API")]
    api: String,
    /// A file with a passphrase, for machines that have no keyring
    #[arg(long, env = "ACME_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Account(AccountCommand),
    /// List the notes
    Notes,
    /// Write a note
    Write {
        /// What it says
        text: String,
    },
}

fn account(acme: &Acme) -> Result<Account, HolderError> {
    let app = App::new("acme", &acme.issuer)
        .client_id(&acme.client_id)
        .scopes("notes:read notes:write")
        .resource(&acme.api)
        .environment(&Environment::new(&variable));
    match acme.passphrase_file.clone() {
        Some(file) => app.ask_passphrase(move |_| Ok(Some(read(&file)?))).open(),
        None => app.open(),
    }
}

#[expect(clippy::disallowed_methods, reason = "what the holder may look at, it is handed here")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

async fn run(acme: Acme) -> Result<String, Box<dyn std::error::Error>> {
    let account = account(&acme)?;
    let answer = match &acme.command {
        Command::Account(command) => {
            account.run(command, &mut Console::new(&mut stdout(), &mut stderr())).await?;
            return Ok(String::new());
        }
        Command::Notes => account.client()?.get("notes").send().await?,
        Command::Write { text } => {
            account.client()?.post("notes").header("content-type", "text/plain").body(text).send().await?
        }
    };
    Ok(answer.error_for_status()?.text().await?)
}

fn read<K: hallpass_holder::SecretKind>(file: &PathBuf) -> std::io::Result<Secret<K>> {
    Ok(Secret::from_text(std::fs::read_to_string(file)?.trim_end().to_owned()))
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program says what it did")]
async fn main() -> ExitCode {
    match run(Acme::parse()).await {
        Ok(answer) => {
            print!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("acme: {error}");
            ExitCode::FAILURE
        }
    }
}
