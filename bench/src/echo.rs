//! A server on a Unix socket that does nothing: whoever asks is answered so many bytes at once.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::Failure;

/// As long as the daemon's answer with a token in it.
const ANSWER: &[u8] = &[b'!'; 1024];

/// Listens until this program ends, on a thread of its own.
pub(crate) fn listen(socket: &Path) -> Result<(), Failure> {
    let listener = UnixListener::bind(socket)?;
    std::thread::Builder::new().name("echo".into()).spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            // Who went away meanwhile is noticed by whoever started it.
            let _ = stream.read(&mut [0; 1024]).and_then(|_| stream.write_all(ANSWER));
        }
    })?;
    Ok(())
}
