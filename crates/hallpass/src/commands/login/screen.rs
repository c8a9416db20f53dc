//! What a person sees while they sign in: where to go, what to type, how long it is good.

use std::io::IsTerminal;

use hallpass_holder::{Flow, LoginEvent, Rung};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde::Serialize;

use crate::output::{Form, Output};

/// What a person sees while they sign in.
pub(super) struct Screen<'a> {
    out: &'a mut Output,
    issuer: String,
    /// A terminal shows a picture of the address, for a telephone. Where it can, its last line counts down; elsewhere that
    /// is said once.
    terminal: bool,
    waiting_said: bool,
}

/// `hallpass.login.code/1`: said before the answer, so that a program can pass the code on.
#[derive(Serialize)]
struct Code<'a> {
    user_code: &'a str,
    verification_uri: &'a str,
    verification_uri_complete: Option<&'a str>,
    expires_in: i64,
}

/// `hallpass.login.address/1`: likewise.
#[derive(Serialize)]
struct Address<'a> {
    address: &'a str,
    browser_started: bool,
    /// What the address begins with that is to be pasted.
    to_paste: Option<&'a str>,
}

impl<'a> Screen<'a> {
    pub(super) fn new(out: &'a mut Output, issuer: &str) -> Self {
        Self {
            out,
            issuer: issuer.to_owned(),
            terminal: std::io::stderr().is_terminal(),
            waiting_said: false,
        }
    }

    /// Shows one event.
    pub(super) fn show(&mut self, event: &LoginEvent<'_>) {
        match event {
            LoginEvent::Rung(Rung::Memory) => {
                self.out.say("nothing will be kept: the sign-in is for one command");
            }
            LoginEvent::Rung(Rung::Passphrase) => {
                self.out.say("the key will be made from your passphrase, and rest nowhere");
            }
            LoginEvent::Rung(rung) => self.out.say(format_args!("the key will rest in the {rung}")),
            LoginEvent::Chose(choice) => {
                let flow = match choice.flow {
                    Flow::Browser => "a browser here",
                    Flow::Device => "a code to type in any browser",
                    Flow::Paste => "an address to paste from any browser",
                    _ => "a way of its own",
                };
                self.out.say(format_args!("signing in to {} by {flow}: {}", self.issuer, choice.why));
            }
            LoginEvent::Address { address, opened } => self.address(address, *opened),
            LoginEvent::ToPaste { address, ends_at, .. } => self.ask_to_paste(address, ends_at),
            LoginEvent::NotTheAnswer { why, left } => match left {
                0 => self.out.tell(why),
                1 => self.out.tell(format_args!("{why} (one more try)")),
                left => self.out.tell(format_args!("{why} ({left} more tries)")),
            },
            LoginEvent::Code { code, address, complete, lasts } => {
                let json = Code {
                    user_code: code,
                    verification_uri: address,
                    verification_uri_complete: *complete,
                    expires_in: lasts.as_seconds(),
                };
                self.in_json("hallpass.login.code/1", &json);
                self.code(code, address, *complete);
            }
            // Whole seconds, the one that is running included.
            LoginEvent::Waiting { left } => self.waiting((left.as_millis() + 999) / 1_000),
            LoginEvent::Note(note) => {
                self.clear();
                self.out.say(format_args!("note: {note}"));
            }
            _ => {}
        }
    }

    /// Takes the line that counts down away.
    pub(super) fn clear(&mut self) {
        if self.out.redraws() && self.waiting_said {
            self.out.redraw("");
            self.waiting_said = false;
        }
    }

    fn address(&mut self, address: &str, opened: bool) {
        self.in_json(
            "hallpass.login.address/1",
            &Address { address, browser_started: opened, to_paste: None },
        );
        match opened {
            true => self.out.say("your browser was opened; if nothing came up, open this address in it:"),
            false => self.out.tell("open this address in a browser on this machine:"),
        }
        self.out.tell(format_args!("\n  {address}\n"));
    }

    fn ask_to_paste(&mut self, address: &str, ends_at: &str) {
        let json = Address { address, browser_started: false, to_paste: Some(ends_at) };
        self.in_json("hallpass.login.address/1", &json);
        self.out.tell("open this address in any browser, and sign in there:");
        self.out.tell(format_args!("\n  {address}\n"));
        self.out.tell(format_args!(
            "the last page cannot be loaded: copy its whole address, which begins with {ends_at},\nand paste it here and nowhere else"
        ));
    }

    fn code(&mut self, code: &str, address: &str, complete: Option<&str>) {
        let bold = self.out.bold(code);
        self.out.tell(format_args!("\n  Open   {address}"));
        self.out.tell(format_args!("  Enter  {bold}\n"));
        if self.terminal
            && let Some(picture) = qr(complete.unwrap_or(address))
        {
            self.out.tell(picture);
        }
        self.out.say("the page shows who asks and what for: approve it only if it shows this code");
    }

    fn waiting(&mut self, seconds: i64) {
        let left = format!("{}:{:02}", seconds / 60, seconds % 60);
        if self.out.redraws() {
            self.out.redraw(format_args!("waiting for you to approve it, {left} left"));
        } else if !self.waiting_said {
            self.out.say(format_args!("waiting for you to approve it, at most {left}"));
        }
        self.waiting_said = true;
    }

    fn in_json(&mut self, schema: &str, value: &impl Serialize) {
        if self.out.form() == Form::Json {
            // A reader that went away is told by the answer that cannot be written either.
            let _ = self.out.json(schema, value);
        }
    }
}

/// A QR code in half blocks, light on dark as terminals mostly are; readers take both.
fn qr(text: &str) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    let picture = code.render::<Dense1x2>().dark_color(Dense1x2::Dark).light_color(Dense1x2::Light).build();
    let lines: Vec<String> = picture.lines().map(|line| format!("  {line}")).collect();
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_a_picture_that_fits_a_terminal() {
        let picture = qr("https://id.example/acme/device?user_code=BCDF-GHJK").unwrap();
        assert!(picture.lines().count() < 24);
        assert!(picture.lines().all(|line| line.chars().count() < 80));
    }
}
