//! Telling systemd that the server is ready, and that it stops (sd_notify(3)). Nobody else hears it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::env;

/// It listens, and answers.
pub(super) const READY: &str = "READY=1";
/// It takes no more.
pub(super) const STOPPING: &str = "STOPPING=1";

/// Tells whoever started us, if they want to hear it. What goes wrong with that is theirs to find out: they wait.
pub(super) fn tell(state: &str) {
    let Some(place) = env::NOTIFY_SOCKET.value() else { return };
    let address = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&place),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, "whoever started the server could not be told how it is");
    }
}
