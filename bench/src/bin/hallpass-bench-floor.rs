//! The least that a program which asks a daemon can do: start, ask once on a Unix socket, and end. `hallpass token` is
//! measured beside it.
//!
//! Its one argument is the socket. What it gets goes nowhere; that nothing came is an error.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// As long as a short question to the daemon.
const QUESTION: &[u8] = &[b'?'; 160];
/// More than an answer with a token in it.
const ANSWER_MAX: usize = 4096;

fn main() -> ExitCode {
    let asked = std::env::args_os().nth(1).map(ask);
    match asked {
        Some(Ok(1..)) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// One round trip: how many bytes came back.
fn ask(socket: std::ffi::OsString) -> std::io::Result<usize> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(QUESTION)?;
    stream.read(&mut [0; ANSWER_MAX])
}
