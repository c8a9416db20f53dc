//! A connection to the session bus: a Unix socket of this user's own, and nothing else.
//!
//! No bus is ever started, and nothing is waited for past the deadline of the whole operation.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use zeroize::Zeroizing;

use super::wire::{Call, FIXED_LEN, Reader, Reply, Writer, message_len, parse};
use crate::private::own_uid;

/// Messages that are not ours and are passed over at most: a bus sends one or two.
const OTHERS_MAX: usize = 64;
/// A line of the handshake at most, in bytes.
const LINE_LEN_MAX: usize = 1024;

/// A connection that may be used until its deadline.
pub(super) struct Bus {
    stream: UnixStream,
    deadline: Instant,
    serial: u32,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoReply {
    /// It said no, by this name.
    Error(String),
    /// Anything else, in a few words.
    Failed(String),
}

impl Bus {
    /// Connects to the first of these addresses that can be had (`DBUS_SESSION_BUS_ADDRESS` has them with `;` between).
    pub(super) fn connect(addresses: &str, patience: Duration) -> Result<Self, String> {
        let deadline = Instant::now() + patience;
        let mut why = NO_BUS.to_owned();
        for address in addresses.split(';').filter(|address| !address.is_empty()) {
            match Self::connect_to(address, deadline) {
                Ok(bus) => return Ok(bus),
                Err(because) => why = because,
            }
        }
        Err(why)
    }

    fn connect_to(address: &str, deadline: Instant) -> Result<Self, String> {
        // SECURITY: the secret crosses in the clear, so only over a socket of this machine.
        let address = socket_address(address).ok_or("has a session bus that is not a Unix socket")?;
        let failed = |error: Errno| match error {
            Errno::NOENT | Errno::CONNREFUSED => NO_BUS.to_owned(),
            Errno::AGAIN => BUSY.to_owned(),
            other => format!("has a session bus that cannot be reached ({other})"),
        };
        // Not blocking: a bus that accepts nobody must not hold us up.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
        rustix::net::connect(&socket, &address).map_err(failed)?;
        let peer = rustix::net::sockopt::socket_peercred(&socket).map_err(failed)?;
        // SECURITY: a socket that somebody else put there is given nothing.
        if peer.uid.as_raw() != own_uid() && !peer.uid.is_root() {
            return Err("has a session bus of another user's".into());
        }
        let stream = UnixStream::from(socket);
        stream.set_nonblocking(false).map_err(|error| error.to_string())?;
        let mut bus = Self { stream, deadline, serial: 0 };
        bus.shake_hands()?;
        bus.call(Call {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "Hello",
            signature: "",
            body: Writer::default(),
        })
        .map_err(|none| match none {
            NoReply::Error(name) => format!("has a session bus that refuses ({name})"),
            NoReply::Failed(why) => why,
        })?;
        Ok(bus)
    }

    /// Says who we are (D-Bus Specification, "Authentication Protocol"): the kernel vouches for it.
    fn shake_hands(&mut self) -> Result<(), String> {
        let uid: String = own_uid().to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
        self.write(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() == LINE_LEN_MAX {
                return Err(NOT_A_BUS.into());
            }
            let mut byte = [0u8; 1];
            self.read(&mut byte)?;
            line.push(byte[0]);
        }
        if !line.starts_with(b"OK ") {
            return Err("has a session bus that does not let us in".into());
        }
        self.write(b"BEGIN\r\n")
    }

    /// Calls a method and waits for its answer.
    pub(super) fn call(&mut self, call: Call<'_>) -> Result<Reader, NoReply> {
        self.serial += 1;
        let message = call.render(self.serial);
        self.write(&message).map_err(NoReply::Failed)?;
        for _ in 0..OTHERS_MAX {
            match self.next().map_err(NoReply::Failed)? {
                Some((serial, Reply::Return(reader))) if serial == self.serial => return Ok(reader),
                Some((serial, Reply::Error(name))) if serial == self.serial => {
                    return Err(NoReply::Error(name));
                }
                _ => {} // a signal, such as the one that tells us our name
            }
        }
        Err(NoReply::Failed(NOT_A_BUS.into()))
    }

    fn next(&mut self) -> Result<Option<(u32, Reply)>, String> {
        let mut fixed = [0u8; FIXED_LEN];
        self.read(&mut fixed)?;
        let len = message_len(&fixed).ok_or(NOT_A_BUS)?;
        let mut message = Zeroizing::new(vec![0u8; len]);
        message[..FIXED_LEN].copy_from_slice(&fixed);
        self.read(&mut message[FIXED_LEN..])?;
        parse(message).map_err(|_| NOT_A_BUS.into())
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let left = self.left()?;
            self.stream.set_write_timeout(Some(left)).map_err(|error| error.to_string())?;
            match self.stream.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) => went_wrong(&error)?,
            }
        }
        Ok(())
    }

    fn read(&mut self, mut bytes: &mut [u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let left = self.left()?;
            self.stream.set_read_timeout(Some(left)).map_err(|error| error.to_string())?;
            match self.stream.read(bytes) {
                Ok(0) => return Err("hung up".into()),
                Ok(read) => bytes = &mut bytes[read..],
                Err(error) => went_wrong(&error)?,
            }
        }
        Ok(())
    }

    fn left(&self) -> Result<Duration, String> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(BUSY.into()) } else { Ok(left) }
    }
}

pub(super) const NO_BUS: &str = "has no session bus here";
const BUSY: &str = "does not answer in time";
const NOT_A_BUS: &str = "answers what no session bus does";

/// An error of the socket; none where it is worth another try.
fn went_wrong(error: &std::io::Error) -> Result<(), String> {
    match error.kind() {
        ErrorKind::Interrupted => Ok(()),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(BUSY.into()),
        _ => Err(format!("hung up ({error})")),
    }
}

/// The socket of a server address (D-Bus Specification, "Server Addresses"), if it is one.
fn socket_address(address: &str) -> Option<SocketAddrUnix> {
    let pairs = address.strip_prefix("unix:")?;
    for (key, value) in pairs.split(',').filter_map(|pair| pair.split_once('=')) {
        let value = unescape(value)?;
        match key {
            "path" => return SocketAddrUnix::new(value).ok(),
            #[cfg(target_os = "linux")]
            "abstract" => return SocketAddrUnix::new_abstract_name(&value).ok(),
            _ => {}
        }
    }
    None
}

fn unescape(value: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let hex = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    const SOON: Duration = Duration::from_millis(200);

    #[test]
    fn only_a_unix_socket_is_a_session_bus() {
        for good in ["unix:path=/run/user/1000/bus", "unix:path=/a%20b,guid=00", "unix:abstract=/tmp/dbus-x"]
        {
            assert!(socket_address(good).is_some(), "{good}");
        }
        for bad in
            ["tcp:host=127.0.0.1,port=1", "unix:runtime=yes", "launchd:env=X", "autolaunch:", "unix:path=%z"]
        {
            assert!(socket_address(bad).is_none(), "{bad}");
        }
        assert!(Bus::connect("tcp:host=127.0.0.1,port=1", SOON).is_err());
    }

    #[test]
    fn no_bus_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = format!("unix:path={}", folder.path().join("bus").display());
        for none in ["", &nobody] {
            let why = Bus::connect(none, SOON).err().unwrap();
            assert_eq!(why, NO_BUS);
        }
    }

    #[test]
    fn a_bus_that_does_not_answer_is_given_up_on_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        let _silent = UnixListener::bind(&path).unwrap();
        let started = Instant::now();
        let why = Bus::connect(&format!("unix:path={}", path.display()), SOON).err().unwrap();
        assert_eq!(why, BUSY);
        assert!(started.elapsed() >= SOON && started.elapsed() < SOON * 20);
    }

    #[test]
    fn what_is_no_bus_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        let listener = UnixListener::bind(&path).unwrap();
        let other = std::thread::spawn(move || {
            for words in [
                &b"REJECTED EXTERNAL\r\n"[..],
                &[b'x'; 2048],
                b"OK 00\r\nHTTP/1.1 400 Bad Request\r\n\r\n",
                b"",
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(words).unwrap();
                // The line that was sent is read, so that closing is no reset.
                let _ = stream.read(&mut [0u8; 256]);
            }
        });
        for _ in 0..4 {
            assert!(Bus::connect(&format!("unix:path={}", path.display()), SOON * 10).is_err());
        }
        other.join().unwrap();
    }
}
