//! The admin socket: how the operator's commands reach a server that runs.
//!
//! 1. The server listens on `{data}/admin.sock`, 0600 in a folder of 0700.
//! 2. Whoever connects is asked of the kernel (`SO_PEERCRED`): the server's own uid and root are the operator, anybody
//!    else is hung up on.
//! 3. A command posts JSON to `/v1/{verb}` over HTTP/1.1 and is answered in JSON. Each verb names the [`Act`] it is, and
//!    the one table of roles says that the operator may do it.
//!
//! [`Act`]: hallpass_model::role::Act

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

pub(crate) mod client;
pub(crate) mod server;

const SOCKET: &str = "admin.sock";

/// The socket of the server whose data folder this is.
pub(crate) fn place(data: &Path) -> PathBuf {
    data.join(SOCKET)
}

/// The longest path a Unix socket's address holds, with its closing zero (`sun_path`, unix(7)).
const ADDRESS_MAX: usize = 108;

/// A path to the socket that fits an address, and the open folder that keeps it valid.
fn short_place(data: &Path) -> std::io::Result<(PathBuf, Option<File>)> {
    let path = place(data);
    if path.as_os_str().len() < ADDRESS_MAX {
        return Ok((path, None));
    }
    let folder = File::open(data)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    Ok((path, Some(folder)))
}
