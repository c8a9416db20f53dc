//! A line that is pasted at the terminal and never shown, waited for beside other things.
//!
//! The terminal shows nothing from the first line on until this is dropped: what is pasted may come in pieces, and have
//! more lines than one.

use std::fs::File;
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hallpass_holder::{AskPasted, AuthorizationCode, PASTED_LEN_MAX, Secret};
use rustix::fs::OFlags;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use zeroize::Zeroizing;

use super::line::{Key, Line};
use super::{Keys, Quiet};
use crate::surroundings::TERMINAL;

/// What comes so soon after the end of a line was pasted with it.
const PASTED_TOGETHER: Duration = Duration::from_millis(50);
const PROMPT: &[u8] = b"paste it here (it is not shown): ";

/// Asks at the terminal we were started from, wherever input and output go.
pub(crate) fn asked_at_the_terminal() -> AskPasted {
    let between: Arc<Mutex<Option<Pasting>>> = Arc::default();
    AskPasted::new(move || {
        let between = between.clone();
        async move {
            let kept = between.lock().expect("no thread panics holding this").take();
            let mut pasting = kept.map_or_else(Pasting::begin, Ok)?;
            let line = pasting.line().await?;
            *between.lock().expect("no thread panics holding this") = Some(pasting);
            Ok(Some(line))
        }
    })
}

/// A terminal that shows nothing.
struct Pasting {
    terminal: File,
    keys: Receiver,
    _quiet: Quiet,
}

impl Pasting {
    fn begin() -> Result<Self, Error> {
        // Our own opening of it: the shell's does not become one that never waits.
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).map_err(Error::other)?;
        let terminal = File::options().read(true).write(true).custom_flags(flags).open(TERMINAL)?;
        // Ctrl-C is a signal here: whoever signs in catches it, and drops this.
        let quiet = Quiet::begin(&terminal, Keys::SignalsButStops)?;
        // It is waited for as a pipe is.
        let keys = Receiver::from_file_unchecked(terminal.try_clone()?)?;
        Ok(Self { terminal, keys, _quiet: quiet })
    }

    /// Waits for a line. One that was pasted as several has a line break in it.
    async fn line(&mut self) -> Result<Secret<AuthorizationCode>, Error> {
        self.say(PROMPT);
        // One more than is taken: whoever judges it sees that it is too long.
        let mut line = Line::new(PASTED_LEN_MAX + 1);
        let mut chunk = Zeroizing::new([0u8; 1024]);
        loop {
            let read = self.read(&mut *chunk).await?;
            for (at, key) in chunk[..read].iter().enumerate() {
                match line.key(*key) {
                    Key::More => {}
                    Key::Stop => return Err(ErrorKind::Interrupted.into()),
                    Key::End => {
                        let rest = self.more_lines(&chunk[at + 1..read]).await?;
                        self.say(b"\n"); // the end of the line was not shown either
                        let line: Secret<AuthorizationCode> = line.take();
                        let mut whole = Zeroizing::new(Vec::with_capacity(line.expose().len() + 2));
                        whole.extend_from_slice(line.expose());
                        whole.extend_from_slice(if rest { b"\n." } else { b"" });
                        return Ok(Secret::new(whole.to_vec()));
                    }
                }
            }
        }
    }

    /// Whether there is more than white space after the end of a line, in what came with it and what comes at once.
    async fn more_lines(&mut self, came: &[u8]) -> Result<bool, Error> {
        let more = |bytes: &[u8]| bytes.iter().any(|byte| byte.is_ascii_graphic());
        let mut found = more(came);
        let mut chunk = Zeroizing::new([0u8; 1024]);
        while let Ok(read) = tokio::time::timeout(PASTED_TOGETHER, self.read(&mut *chunk)).await {
            found |= more(&chunk[..read?]);
        }
        Ok(found)
    }

    async fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Error> {
        match self.keys.read(chunk).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }

    fn say(&self, words: &[u8]) {
        let _ = (&self.terminal).write_all(words); // a terminal that takes nothing shows nothing
    }
}
