//! The SPIFFE Workload API (SPIFFE Workload API, sections 4 to 6): who asks is known by the socket, and gets a JWT-SVID for whom
//! it names.

use std::net::SocketAddr;
use std::path::PathBuf;

use hallpass_model::secret::{Assertion, Secret};

use crate::error::HolderError;

#[cfg(feature = "spiffe")]
mod call;
#[cfg(feature = "spiffe")]
mod message;

/// Where the Workload API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpiffeSocket(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl SpiffeSocket {
    /// As `SPIFFE_ENDPOINT_SOCKET` names it: `unix:///path`, or `tcp://127.0.0.1:port` (SPIFFE Workload Endpoint, section 4).
    ///
    /// # Errors
    /// Text that names none.
    pub fn parse(text: &str) -> Result<Self, HolderError> {
        let bad = |why: &str| HolderError::Usage { what: format!("SPIFFE_ENDPOINT_SOCKET: `{text}` {why}") };
        if let Some(path) = text.strip_prefix("unix:") {
            // `unix:/path` and `unix:///path` are the same; a host has no place in it.
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.starts_with('/') {
                true => Ok(Self(Place::Unix(path.into()))),
                false => Err(bad("is not an absolute path: `unix:///run/...`")),
            };
        }
        let address = text.strip_prefix("tcp://").map(str::parse::<SocketAddr>);
        match address {
            // SECURITY: nothing on it is encrypted, and what is given is a bearer secret.
            Some(Ok(address)) if !address.ip().is_loopback() => {
                Err(bad("is not on this machine, and is not asked without TLS"))
            }
            Some(Ok(address)) => Ok(Self(Place::Tcp(address))),
            Some(Err(_)) => Err(bad("has no address and port in it")),
            None => Err(bad("begins with neither `unix:` nor `tcp://`")),
        }
    }

    /// A JWT-SVID for this audience.
    #[cfg(feature = "spiffe")]
    pub(super) async fn assertion(&self, audience: &str) -> Result<Secret<Assertion>, HolderError> {
        call::fetch(&self.0, audience).await
    }

    #[cfg(not(feature = "spiffe"))]
    pub(super) async fn assertion(&self, _audience: &str) -> Result<Secret<Assertion>, HolderError> {
        Err(HolderError::Unsupported { what: "this program was built without SPIFFE's Workload API".into() })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_read_as_the_standard_has_them() {
        let place = |text| SpiffeSocket::parse(text).unwrap().0;
        assert_eq!(place("unix:///run/spire/agent.sock"), Place::Unix("/run/spire/agent.sock".into()));
        assert_eq!(place("unix:/run/spire/agent.sock"), Place::Unix("/run/spire/agent.sock".into()));
        assert_eq!(place("tcp://127.0.0.1:8000"), Place::Tcp("127.0.0.1:8000".parse().unwrap()));
        for text in [
            "",
            "/run/x",
            "unix:run/x",
            "unix://host",
            "tcp://10.0.0.1:8000",
            "tcp://localhost:1",
            "http://x",
        ] {
            assert!(SpiffeSocket::parse(text).is_err(), "{text}");
        }
    }
}
