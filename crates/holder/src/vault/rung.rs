//! The rungs by name, and which is above which.

use std::fmt;
use std::str::FromStr;

/// Where the key of a record rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    fn only_a_move_down_is_one() {
        assert!(Rung::SecretService.is_above(Rung::Keyring) && Rung::Keyring.is_above(Rung::Passphrase));
        assert!(!Rung::Keyring.is_above(Rung::Tpm) && !Rung::Passphrase.is_above(Rung::SecretService));
        assert!(Rung::ALL.iter().all(|rung| !rung.is_above(Rung::Memory) && !rung.is_above(Rung::Daemon)));
    }
}
