//! Where the key of a sign-in rests on its machine: the rungs by name, and which is above which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where the key of a record rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// The Secret Service of a desktop session.
    SecretService,
    /// The macOS Keychain.
    Keychain,
    /// The Windows Credential Manager.
    CredentialManager,
    /// Sealed by this machine's TPM.
    Tpm,
    /// The user's persistent keyring in the kernel.
    Keyring,
    /// What the person types.
    Passphrase,
    /// The memory of the daemon, which keeps the record as well.
    Daemon,
    /// This process alone.
    Memory,
}

impl Rung {
    /// All of them, the best first.
    pub const ALL: [Rung; 8] = [
        Rung::SecretService,
        Rung::Keychain,
        Rung::CredentialManager,
        Rung::Tpm,
        Rung::Keyring,
        Rung::Passphrase,
        Rung::Daemon,
        Rung::Memory,
    ];

    /// Its name, as flags, JSON and our issuer have it.
    pub const fn text(self) -> &'static str {
        match self {
            Rung::SecretService => "secret-service",
            Rung::Keychain => "keychain",
            Rung::CredentialManager => "credential-manager",
            Rung::Tpm => "tpm",
            Rung::Keyring => "keyring",
            Rung::Passphrase => "passphrase",
            Rung::Daemon => "daemon",
            Rung::Memory => "memory",
        }
    }

    /// The rung of this name.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rung| rung.text() == text)
    }

    /// Whether a sign-in that rests on `self` would be lowered by moving to `other`. Rungs on one step are as good as
    /// each other.
    pub fn is_above(self, other: Rung) -> bool {
        self.step() > other.step()
    }

    /// Whether its records are files. Those of the others are in the memory of a process.
    pub fn is_at_rest(self) -> bool {
        !matches!(self, Rung::Daemon | Rung::Memory)
    }

    const fn step(self) -> u8 {
        match self {
            Rung::SecretService | Rung::Keychain | Rung::CredentialManager => 4,
            Rung::Tpm | Rung::Keyring => 3,
            Rung::Passphrase => 2,
            // Their records rest nowhere: nothing is there to be copied, and moving to them lowers nothing.
            Rung::Daemon | Rung::Memory => 5,
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rung::SecretService => "Secret Service",
            Rung::Keychain => "macOS Keychain",
            Rung::CredentialManager => "Windows Credential Manager",
            Rung::Tpm => "TPM",
            Rung::Keyring => "kernel keyring",
            Rung::Passphrase => "passphrase",
            Rung::Daemon => "memory of the daemon",
            Rung::Memory => "memory of this process",
        })
    }
}

impl FromStr for Rung {
    type Err = String;
    /// The rungs a person may ask for; `memory` has a flag of its own.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let asked_for = || Rung::ALL.into_iter().filter(|rung| *rung != Rung::Memory);
        asked_for().find(|rung| rung.text() == text).ok_or_else(|| {
            let names: Vec<_> = asked_for().map(|rung| format!("`{}`", rung.text())).collect();
            format!("it is one of {}", names.join(", "))
        })
    }
}

/// Several rungs: those that an org allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Rung>", into = "Vec<Rung>")]
pub struct Rungs(u8);

/// A set of none allows nothing, which is said in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it names no rung")]
pub struct NoRungs;

impl Rungs {
    /// Whether this is one of them.
    pub fn has(self, rung: Rung) -> bool {
        self.0 & Self::bit(rung) != 0
    }

    /// Each of them, the best first.
    pub fn iter(self) -> impl Iterator<Item = Rung> {
        Rung::ALL.into_iter().filter(move |rung| self.has(*rung))
    }

    const fn bit(rung: Rung) -> u8 {
        1 << rung as u8
    }
}

impl TryFrom<Vec<Rung>> for Rungs {
    type Error = NoRungs;
    fn try_from(rungs: Vec<Rung>) -> Result<Self, NoRungs> {
        let all = rungs.into_iter().fold(0, |all, rung| all | Self::bit(rung));
        if all == 0 { Err(NoRungs) } else { Ok(Self(all)) }
    }
}

impl From<Rungs> for Vec<Rung> {
    fn from(rungs: Rungs) -> Self {
        rungs.iter().collect()
    }
}

impl fmt::Display for Rungs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Rung::text).collect();
        f.write_str(&names.join(" "))
    }
}

impl FromStr for Rungs {
    type Err = NoRungs;
    /// Names with spaces between them. A name that is not known is not one of them.
    fn from_str(text: &str) -> Result<Self, NoRungs> {
        text.split(' ').filter_map(Rung::named).collect::<Vec<_>>().try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rung_has_a_name_that_reads_back_but_for_memory() {
        for rung in Rung::ALL {
            assert_eq!(rung.text().parse::<Rung>().ok(), (rung != Rung::Memory).then_some(rung));
        }
        assert!("Keyring".parse::<Rung>().unwrap_err().contains("`secret-service`"));
    }

    #[test]
    fn a_set_reads_back_and_is_never_empty() {
        let rungs: Rungs = "tpm secret-service elsewhere".parse().unwrap();
        assert_eq!(rungs.to_string(), "secret-service tpm");
        assert!(rungs.has(Rung::Tpm) && !rungs.has(Rung::Memory));
        let json = serde_json::to_string(&rungs).unwrap();
        assert_eq!(json, r#"["secret-service","tpm"]"#);
        assert_eq!(serde_json::from_str::<Rungs>(&json).unwrap(), rungs);
        assert_eq!("elsewhere".parse::<Rungs>(), Err(NoRungs));
        assert!(serde_json::from_str::<Rungs>("[]").is_err());
    }

    #[test]
    fn only_a_move_down_is_one() {
        assert!(Rung::SecretService.is_above(Rung::Keyring) && Rung::Keyring.is_above(Rung::Passphrase));
        assert!(!Rung::Keyring.is_above(Rung::Tpm) && !Rung::Passphrase.is_above(Rung::SecretService));
        assert!(Rung::ALL.iter().all(|rung| !rung.is_above(Rung::Memory) && !rung.is_above(Rung::Daemon)));
    }
}
