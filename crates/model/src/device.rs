//! The machine a session lives on, as its holder describes it. A claim, not a proof.

use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, OrgId, PrincipalId};
use crate::rung::Rung;
use crate::time::Timestamp;

/// What sort of machine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceClass {
    /// One person's machine.
    Laptop,
    /// A machine without a person at it.
    Server,
    /// Several people share a uid or the machine.
    SharedHost,
    /// Jobs come and go.
    BuildAgent,
    /// Gone when its task ends.
    Container,
    /// The holder did not say, or said a word we do not know.
    #[serde(other)]
    Unknown,
}

impl std::fmt::Display for DeviceClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Laptop => "laptop",
            Self::Server => "server",
            Self::SharedHost => "shared-host",
            Self::BuildAgent => "build-agent",
            Self::Container => "container",
            Self::Unknown => "unknown",
        })
    }
}

impl std::str::FromStr for DeviceClass {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "laptop" => Self::Laptop,
            "server" => Self::Server,
            "shared-host" => Self::SharedHost,
            "build-agent" => Self::BuildAgent,
            "container" => Self::Container,
            _ => Self::Unknown,
        })
    }
}

/// How a holder describes its machine, in the device authorization and authorization requests
/// (`device_install`, `device_name`, `device_class`, `device_rung`). Hostile text until shown escaped, and cut to these bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceClaim {
    /// A random id the holder made once on that machine: 8 to 64 of `A-Z a-z 0-9 - _`.
    pub install: String,
    /// The machine's name, at most 64 characters, no control characters.
    pub name: String,
    /// What sort of machine.
    pub class: DeviceClass,
    /// Where the key of the sign-in rests there, if it says and we know the word.
    #[serde(default)]
    pub rung: Option<Rung>,
}

/// Longer names do not fit the approval page, and help only an attacker who writes sentences into them.
pub const DEVICE_NAME_MAX: usize = 64;

impl DeviceClaim {
    /// Reads the four parameters. `None` where there is no usable install id: a claim is never required.
    pub fn parse(
        install: Option<&str>,
        name: Option<&str>,
        class: Option<&str>,
        rung: Option<&str>,
    ) -> Option<Self> {
        let install = install.filter(|i| {
            (8..=64).contains(&i.len())
                && i.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
        })?;
        Some(Self {
            install: install.to_owned(),
            name: crate::purpose::plain(name.unwrap_or("unnamed"), DEVICE_NAME_MAX),
            class: class.unwrap_or_default().parse().expect("any word is a class"),
            rung: rung.and_then(Rung::named),
        })
    }
}

/// A machine that sessions live on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// The tenant that knows it.
    pub org: OrgId,
    /// Whose sessions live on it: the same machine under two people is two devices.
    pub principal: PrincipalId,
    /// As last claimed.
    pub name: String,
    /// As last claimed.
    pub class: DeviceClass,
    /// When it was first seen.
    pub created: Timestamp,
    /// When a session on it was last refreshed or opened.
    pub seen: Timestamp,
}
