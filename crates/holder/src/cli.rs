//! `login`, `logout`, `status` and `token` for a program built on clap (feature `clap`).
//!
//! Nothing is printed here: what is said goes to the two ends that the program hands in.

use std::io::{self, Write};

use clap::Subcommand;

use crate::app::Account;
use crate::error::HolderError;
use crate::identity::Identity;
use crate::login::{Flow, LoginEvent};
use crate::logout::{Credential, Fate};
use crate::pass::PassRequest;

/// The commands about the person's account: a subcommand of the program's own, or flattened among its others.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
#[non_exhaustive]
pub enum AccountCommand {
    /// Sign in
    Login {
        /// Show a code to type into a browser on any machine
        #[arg(long)]
        device: bool,
    },
    /// Sign out: revoke at the issuer, and wipe here
    Logout,
    /// Show who is signed in, how far, and where the key rests
    Status,
    /// Print an access token that is good now
    Token,
}

/// Where answers go, and what is said to people.
pub struct Console<'a> {
    answers: &'a mut (dyn Write + Send),
    people: &'a mut (dyn Write + Send),
}

impl<'a> Console<'a> {
    /// Usually `&mut std::io::stdout()` and `&mut std::io::stderr()`.
    pub fn new(answers: &'a mut (dyn Write + Send), people: &'a mut (dyn Write + Send)) -> Self {
        Self { answers, people }
    }

    fn answer(&mut self, line: impl std::fmt::Display) -> Result<(), HolderError> {
        let written = writeln!(self.answers, "{line}").and_then(|()| self.answers.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()), // nobody reads on
            written => {
                written.map_err(|source| HolderError::Run { doing: "cannot write the answer", source })
            }
        }
    }

    fn say(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.people, "{line}"); // nobody is left to be told that it is closed
    }
}

impl std::fmt::Debug for Console<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<console>")
    }
}

impl Account {
    /// Does what a command asks. A sign-in is stopped by Ctrl-C, of which nothing is left then.
    ///
    /// # Errors
    /// The account's own; what to do next is the program's to say. `Run` also where the answer cannot be written.
    pub async fn run(&self, command: &AccountCommand, console: &mut Console<'_>) -> Result<(), HolderError> {
        match command {
            AccountCommand::Login { device } => self.run_login(*device, console).await,
            AccountCommand::Logout => self.run_logout(console).await,
            AccountCommand::Status => self.run_status(console),
            AccountCommand::Token => {
                let pass = self.token(&PassRequest::default()).await?;
                self.holder().settled().await;
                console.answer(pass.token.expose_text())
            }
        }
    }

    async fn run_login(&self, device: bool, console: &mut Console<'_>) -> Result<(), HolderError> {
        let flow = device.then_some(Flow::Device);
        let cancelled = std::pin::pin!(async {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await; // then the default ends us
            }
        });
        let signed_in = self.login(flow, &mut |event| show(&event, console), cancelled).await?;
        let person = signed_in.person.as_deref().unwrap_or("somebody the issuer does not name");
        console.say(format_args!("signed in to {} as {person}", signed_in.identity.issuer));
        console.say(format_args!("its key rests in the {}", signed_in.rung));
        Ok(())
    }

    async fn run_logout(&self, console: &mut Console<'_>) -> Result<(), HolderError> {
        let receipt = self.logout().await?;
        for Credential { what, fate, .. } in &receipt.credentials {
            match fate {
                Fate::Revoked => console.say(format_args!("revoked {what}")),
                Fate::EndedWithSession => console.say(format_args!("{what} ended with the session")),
                Fate::Owed { why } => console.say(format_args!("not revoked yet: {what}: {why}")),
                Fate::Alive { why } => console.say(format_args!("not revoked: {what}: {why}")),
            }
        }
        if let Some(why) = &receipt.not_wiped {
            console.say(format_args!("not wiped here: {why}"));
        }
        if receipt.may_be_alive() {
            let what = format!("{} could not sign out wholly: something may still be alive", self.name());
            return Err(HolderError::Unsupported { what });
        }
        console.say("signed out");
        Ok(())
    }

    fn run_status(&self, console: &mut Console<'_>) -> Result<(), HolderError> {
        let status = self.status()?;
        let opened = status.opened?;
        let Identity { issuer, profile, .. } = status.identity;
        if let Some(why) = opened.ended {
            return Err(HolderError::SignInEnded { issuer, profile, why });
        }
        let person = opened.person.as_deref().unwrap_or("somebody the issuer does not name");
        console.answer(format_args!("signed in to {issuer} as {person}"))?;
        if !opened.scope.is_empty() {
            console.answer(format_args!("scope: {}", opened.scope))?;
        }
        for resource in &opened.resources {
            console.answer(format_args!("API: {resource}"))?;
        }
        console.answer(format_args!("key: {}", status.rung))
    }
}

fn show(event: &LoginEvent<'_>, console: &mut Console<'_>) {
    match event {
        LoginEvent::Address { address, opened: true } => {
            console.say(format_args!("your browser was opened at {address}"));
        }
        LoginEvent::Address { address, opened: false } => {
            console.say(format_args!("open this address in a browser on this machine: {address}"));
        }
        LoginEvent::Code { code, address, complete, .. } => {
            console.say(format_args!("open {address} in any browser and type {code}"));
            if let Some(complete) = complete {
                console.say(format_args!("or open {complete}"));
            }
        }
        LoginEvent::ToPaste { address, ends_at, .. } => {
            console.say(format_args!("open this address in any browser: {address}"));
            console.say(format_args!(
                "its last page cannot be loaded, and has an address that begins with {ends_at}: paste that here"
            ));
        }
        LoginEvent::NotTheAnswer { why, .. } => console.say(why),
        LoginEvent::Note(note) => console.say(note),
        LoginEvent::Rung(_) | LoginEvent::Chose(_) | LoginEvent::Waiting { .. } => {}
    }
}
