//! Who is at the other end of a connection on this machine: a process of the command, or a stranger.
//!
//! A credential can be read where the command can read it, also by others of the same user. So the connection itself
//! must come from the command or from what it started: the kernel says which user and which socket it is
//! (`/proc/net/tcp`, proc_pid_net(5)), and the socket is looked for among the descriptors of those processes. What cannot
//! be looked into (a program that runs as somebody else, or hides from its own user) is a stranger.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use rustix::process::Pid;

/// Whether a connection from `peer` to `ours` comes from `root` or its descendants.
pub(super) fn belongs_to(root: Pid, peer: SocketAddr, ours: SocketAddr) -> bool {
    let Some(socket) = socket_of(peer, ours) else { return false };
    if socket.user != rustix::process::geteuid().as_raw() {
        return false;
    }
    let link = format!("socket:[{}]", socket.inode);
    descendants(root).into_iter().any(|pid| has_open(pid, &link))
}

#[derive(Debug, PartialEq, Eq)]
struct Socket {
    user: u32,
    inode: u64,
}

/// The peer's socket. A client that speaks IPv6 (as Java does) has a mapped address, and stands in the other table.
fn socket_of(peer: SocketAddr, ours: SocketAddr) -> Option<Socket> {
    ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().find_map(|table| {
        let table = std::fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| row(line, peer, ours))
    })
}

fn row(line: &str, peer: SocketAddr, ours: SocketAddr) -> Option<Socket> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let &[_, local, remote, _, _, _, _, user, _, inode, ..] = fields.as_slice() else { return None };
    (address(local)? == peer && address(remote)? == ours)
        .then(|| Some(Socket { user: user.parse().ok()?, inode: inode.parse().ok()? }))?
}

/// `0100007F:1F90`: words of four bytes, each as a number of this machine, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for word in address.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::from(four),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, port))
}

/// A process and all that it started, and they started, while their parents live.
fn descendants(root: Pid) -> Vec<i32> {
    let root = root.as_raw_nonzero().get();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(i32, i32)> = processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, parent_of(&entry.path())?))
        })
        .collect();
    let (mut found, mut known) = (vec![root], HashSet::from([root]));
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        at += 1;
        found.extend(
            parents.iter().filter(|(pid, of)| *of == parent && known.insert(*pid)).map(|(pid, _)| pid),
        );
    }
    found
}

fn parent_of(process: &Path) -> Option<i32> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    // The name in parentheses may hold anything; what follows the last one does not.
    stat.rsplit(')').next()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn has_open(pid: i32, link: &str) -> bool {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors
        .filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok())
        .any(|to| to.as_os_str() == link)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_of_our_own_is_ours_and_not_a_child_s() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = listener.local_addr().unwrap();
        let client = TcpStream::connect(ours).unwrap();
        let (_server, peer) = listener.accept().unwrap();
        let us = rustix::process::getpid();
        assert!(belongs_to(us, peer, ours));
        assert!(belongs_to(rustix::process::getppid().unwrap(), peer, ours), "and our parent's");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(!belongs_to(Pid::from_raw(child.id() as i32).unwrap(), peer, ours));
        child.kill().unwrap();
        child.wait().unwrap();
        drop(client);
    }

    #[test]
    fn the_kernel_s_addresses_are_read() {
        if cfg!(target_endian = "big") {
            return;
        }
        assert_eq!(address("0100007F:1F90"), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(address("0000000000000000FFFF00000100007F:1F90"), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(address("00000000000000000000000001000000:0001"), Some("[::1]:1".parse().unwrap()));
        assert_eq!((address("0100007F"), address("01:zz")), (None, None));
        let line = "   0: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 12345 1";
        let (peer, ours) = ("127.0.0.1:50000".parse().unwrap(), "127.0.0.1:8080".parse().unwrap());
        assert_eq!(row(line, peer, ours), Some(Socket { user: 1000, inode: 12345 }));
        assert_eq!(row(line, ours, peer), None);
    }
}
