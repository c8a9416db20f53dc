//! What a watcher is entrusted with: one line of JSON over its pipe, secrets shown. Never in a file, an argument or an
//! environment.

use std::path::PathBuf;

use hallpass_model::id::LeaseId;
use hallpass_model::secret::{AccessToken, Kind, Secret};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::metadata::IssuerMetadata;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use url::Url;
use zeroize::Zeroizing;

use crate::client::OurClient;
use crate::sealing;

/// Room for a charge, taken at once: growing would leave copies behind.
const CHARGE_LEN_USUAL: usize = 32 * 1024;

/// What a watcher is entrusted with.
pub(in crate::exec) struct Charge {
    /// Where the issuer's endpoints are.
    pub(in crate::exec) metadata: IssuerMetadata,
    /// Who we are there.
    pub(in crate::exec) client: OurClient,
    /// What is revoked in the end, passes first.
    pub(in crate::exec) entrusted: Vec<Entrusted>,
    /// What is trusted besides the system's certificates.
    pub(in crate::exec) ca_file: Option<PathBuf>,
    /// A pass socket that nobody listens on any more, to be taken away with its folder.
    pub(in crate::exec) socket: Option<PathBuf>,
}

/// A token to revoke.
pub(in crate::exec) struct Entrusted {
    pub(super) token: Secret<AccessToken>,
    pub(super) hint: Hint,
    /// The lease whose connection is kept open with it.
    pub(super) lease: Option<LeaseId>,
    /// When there is no point in trying any more.
    pub(super) until: Timestamp,
}

/// What sort of token it is (RFC 7009, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::exec) enum Hint {
    AccessToken,
    /// An access token of an agent's run, which is over with it.
    AgentsPass,
    RefreshToken,
}

impl Hint {
    pub(super) fn text(self) -> &'static str {
        match self {
            Hint::AccessToken | Hint::AgentsPass => "access_token",
            Hint::RefreshToken => "refresh_token",
        }
    }
}

impl Hint {
    /// What our issuer is told besides: whether the agent's run is over, and not this pass alone.
    pub(in crate::exec) fn run_over(self) -> Option<&'static str> {
        (self == Hint::AgentsPass).then_some("true")
    }
}

impl Entrusted {
    pub(in crate::exec) fn new<K: Kind>(token: &Secret<K>, hint: Hint, until: Timestamp) -> Self {
        Self { token: Secret::new(token.expose().to_vec()), hint, lease: None, until }
    }

    /// The same under a lease.
    pub(in crate::exec) fn under(self, lease: Option<LeaseId>) -> Self {
        Self { lease, ..self }
    }
}

impl Charge {
    /// Where the run's connection is kept open.
    pub(super) fn lease_endpoint(&self) -> Option<Url> {
        format!("{}/lease", self.metadata.issuer.trim_end_matches('/')).parse().ok()
    }

    /// As a line. SECURITY: for the watcher's pipe alone.
    pub(super) fn render(&self) -> Zeroizing<Vec<u8>> {
        let shown = Shown {
            metadata: self.metadata.clone(),
            client_id: self.client.id().to_owned(),
            client_secret: self.client.secret().map(|secret| secret.expose_text().to_owned().into()),
            entrusted: self
                .entrusted
                .iter()
                .map(|one| ShownToken {
                    token: one.token.expose_text().to_owned().into(),
                    hint: one.hint,
                    lease: one.lease,
                    until: one.until,
                })
                .collect(),
            ca_file: self.ca_file.clone(),
            socket: self.socket.clone(),
        };
        let mut line = Zeroizing::new(Vec::with_capacity(CHARGE_LEN_USUAL));
        serde_json::to_writer(&mut *line, &shown).expect("a charge is a struct of JSON values");
        line.push(b'\n');
        line
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let shown: Shown = serde_json::from_slice(line).ok()?;
        let client_secret = shown.client_secret.map(sealing::secret);
        Some(Self {
            metadata: shown.metadata,
            client: OurClient::new(shown.client_id, client_secret),
            entrusted: shown
                .entrusted
                .into_iter()
                .map(|one| Entrusted {
                    token: sealing::secret(one.token),
                    hint: one.hint,
                    lease: one.lease,
                    until: one.until,
                })
                .collect(),
            ca_file: shown.ca_file,
            socket: shown.socket,
        })
    }
}

/// What a watcher is told.
pub(super) enum Told {
    /// What it is to see to, in place of what it was told before.
    Charge(Box<Charge>),
    /// There is nothing left to do.
    Dismissed,
    /// Nothing any more, or half a line: whoever wrote it died over it.
    Nothing,
}

impl Told {
    /// Reads a line.
    pub(super) async fn read(input: &mut (impl AsyncBufRead + Unpin), len_max: u64) -> Self {
        let mut line = Zeroizing::new(Vec::with_capacity(CHARGE_LEN_USUAL));
        let read = input.take(len_max).read_until(b'\n', &mut line).await;
        if read.is_err() || line.last() != Some(&b'\n') {
            return Told::Nothing;
        }
        if *line == super::DISMISSED {
            return Told::Dismissed;
        }
        Charge::parse(&line).map_or(Told::Nothing, |charge| Told::Charge(Box::new(charge)))
    }
}

#[derive(Serialize, Deserialize)]
struct Shown {
    metadata: IssuerMetadata,
    client_id: String,
    client_secret: Option<Zeroizing<String>>,
    entrusted: Vec<ShownToken>,
    ca_file: Option<PathBuf>,
    socket: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct ShownToken {
    token: Zeroizing<String>,
    hint: Hint,
    lease: Option<LeaseId>,
    until: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge() -> Charge {
        Charge {
            metadata: IssuerMetadata::new("https://id.example/acme"),
            client: OurClient::new("hallpass-cli".into(), None),
            entrusted: vec![Entrusted::new(
                &Secret::<AccessToken>::from_text("pass-1".into()),
                Hint::AccessToken,
                Timestamp::from_seconds(9),
            )],
            ca_file: None,
            socket: Some("/run/user/1/hallpass/run-1/pass.sock".into()),
        }
    }

    #[tokio::test]
    async fn a_charge_reads_back_and_half_a_one_is_none() {
        let line = charge().render();
        let Told::Charge(back) = Told::read(&mut &line[..], 1 << 20).await else { panic!("a charge") };
        assert_eq!(back.render(), line);
        assert_eq!(back.lease_endpoint().unwrap().as_str(), "https://id.example/acme/lease");
        for half in [&line[..line.len() - 1], b"", b"dismis", b"{}\n"] {
            assert!(matches!(Told::read(&mut &half[..], 1 << 20).await, Told::Nothing));
        }
        assert!(matches!(Told::read(&mut &line[..], 10).await, Told::Nothing));
    }

    #[tokio::test]
    async fn a_second_charge_is_read_after_the_first_and_then_the_dismissal() {
        let lines =
            [charge().render().as_slice(), charge().render().as_slice(), super::super::DISMISSED].concat();
        let mut input = &lines[..];
        for _ in 0..2 {
            assert!(matches!(Told::read(&mut input, 1 << 20).await, Told::Charge(_)));
        }
        assert!(matches!(Told::read(&mut input, 1 << 20).await, Told::Dismissed));
    }
}
