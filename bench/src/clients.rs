//! Services and jobs: client-credentials grants beside npm's oidc-provider, and federation exchanges.
//!
//! 1. Both sides authenticate the client the same way: `private_key_jwt`, ES256, an assertion a request, each good once. All of
//!    them are signed before the load begins, so that the load costs no more than it must. Ours are signed, durable and recorded.
//!    The peer is measured in memory: as it is cheapest, its access tokens opaque and unsigned, and once more doing what ours do,
//!    its access tokens signed.
//! 2. The sides take turns, each started afresh in every round.
//! 3. How the rate stands with what is there already is measured in pairs: a thousand sessions, then a million.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hallpass_model::jose::SigningKey;
use hallpass_model::lifetimes::CLIENT_ASSERTION_MAX;
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::wire::assertion::{ASSERTION_TYPE, assertion};

use crate::load::{self, Job, Kind, Pace, Tally};
use crate::report::{Line, Name, Spread, Wanted};
use crate::round::{WARM_UP, ask};
use crate::side::{Question, Server, Side};
use crate::{Failure, ours, peer, process};

/// The client on both sides.
pub(crate) const CLIENT: &str = "bench-service";
/// Connections at once.
const CONNECTIONS: [usize; 2] = [load::CONNECTIONS, 16];
/// More answers a second than a side gives on any machine this is run on: so many assertions are signed for each second.
const MOST_OURS: f64 = 20_000.0;
const MOST_PEER: f64 = 5_000.0;
/// Sessions that are there already.
const FEW: usize = 1_000;

/// What a round of one side gave.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// At 64 and at 16 connections.
    most: [Tally; 2],
    at_half: Option<Tally>,
}

/// Those that are wanted.
pub(crate) fn lines(wanted: &Wanted, plan: &Plan) -> Result<Vec<Line>, Failure> {
    let wanted = |name: Name| wanted.has(name);
    let mut lines = Vec::new();
    let grants = [
        Name::ClientCredentialsRatio,
        Name::ClientCredentialsCpuRatio,
        Name::ClientCredentialsSignedRatio,
        Name::ClientCredentialsSignedCpuRatio,
        Name::ClientCredentialsPerS,
        Name::ClientCredentialsP99Ms,
    ];
    if grants.into_iter().any(wanted) {
        let (mut us, mut them, mut signing) = (Vec::new(), Vec::new(), Vec::new());
        let sides: Vec<Side> = [
            (Side::Ours, true),
            (Side::Peer, grants.into_iter().any(|name| wanted(name) && !is_signed(name))),
            (Side::PeerSigned, grants.into_iter().any(|name| wanted(name) && is_signed(name))),
        ]
        .into_iter()
        .filter_map(|(side, measured)| measured.then_some(side))
        .collect();
        for round in 0..plan.rounds {
            let mut order = sides.clone();
            order.rotate_left(round % sides.len());
            for side in order {
                crate::say(&format!("client credentials: round {} of {}: {side}", round + 1, plan.rounds));
                match side {
                    Side::Ours => us.push(grants_of(side, plan)?),
                    Side::Peer => them.push(grants_of(side, plan)?),
                    Side::PeerSigned => signing.push(grants_of(side, plan)?),
                }
            }
        }
        lines.extend(
            grants
                .into_iter()
                .filter(|name| wanted(*name))
                .map(|name| line(name, &us, if is_signed(name) { &signing } else { &them })),
        );
    }
    if wanted(Name::ExchangePerS) {
        lines.push(exchanges(plan)?);
    }
    if wanted(Name::Growth1kTo1m) {
        lines.push(growth(plan)?);
    }
    Ok(lines)
}

/// Whether it is beside a peer that signs its access tokens, too.
fn is_signed(name: Name) -> bool {
    matches!(name, Name::ClientCredentialsSignedRatio | Name::ClientCredentialsSignedCpuRatio)
}

/// How long, how often, and beside how much.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    /// Sessions of the fuller folder of [`growth`].
    pub(crate) many: usize,
}

fn grants_of(side: Side, plan: &Plan) -> Result<Figures, Failure> {
    let server = side.start(FEW)?;
    let asking = Asking::of(side, &server)?;
    let saturate = Pace::Saturate { warm_up: WARM_UP, window: plan.window };
    let most = [asking.grants(saturate, CONNECTIONS[0])?, asking.grants(saturate, CONNECTIONS[1])?];
    let at_half = match side {
        Side::Ours => {
            let per_second = per_second(most[0]) / 2.0;
            let pace = Pace::Fixed { per_second, warm_up: WARM_UP, window: plan.window };
            Some(asking.grants(pace, CONNECTIONS[0])?)
        }
        _ => None,
    };
    Ok(Figures { most, at_half })
}

/// What is asked of a running side.
struct Asking<'s> {
    server: &'s Server,
    head: String,
    /// The issuer's identifier: the audience of assertions.
    issuer: String,
    key: &'static SigningKey,
    most: f64,
}

impl<'s> Asking<'s> {
    fn of(side: Side, server: &'s Server) -> Result<Self, Failure> {
        let head = server.refresh.head.clone();
        Ok(match side {
            Side::Ours => {
                Self { server, head, issuer: ours::issuer_of(server)?, key: client_key(), most: MOST_OURS }
            }
            _ => Self { server, head, issuer: peer::issuer_of(server), key: client_key(), most: MOST_PEER },
        })
    }

    fn grants(&self, pace: Pace, connections: usize) -> Result<Tally, Failure> {
        let number = match pace {
            Pace::Saturate { warm_up, window } => (warm_up + window).as_secs_f64() * self.most,
            // One hand may be given more than its share.
            Pace::Fixed { per_second, warm_up, window } => {
                (warm_up + window).as_secs_f64() * per_second * 2.0
            }
            Pace::Once => return Err("a grant is asked for at a pace".into()),
        };
        let file = self.server.folder.path().join("assertions");
        sign(self.key, &self.issuer, number as usize, &file)?;
        let form = format!(
            "grant_type=client_credentials&scope=notes%3Aread&client_assertion_type={}&client_assertion=",
            ASSERTION_TYPE.replace(':', "%3A")
        );
        let question = Question { head: self.head.clone(), form, tokens: file };
        ask(&job(self.server, question, Kind::Grant, pace, connections))
    }
}

fn job(server: &Server, question: Question, kind: Kind, pace: Pace, connections: usize) -> Job {
    Job {
        address: server.address.clone(),
        pid: server.pid(),
        head: question.head,
        form: question.form,
        tokens: question.tokens,
        kind,
        pace,
        access_tokens: None,
        connections,
    }
}

/// The key of the client on both sides.
pub(crate) fn client_key() -> &'static SigningKey {
    static KEY: std::sync::OnceLock<SigningKey> = std::sync::OnceLock::new();
    KEY.get_or_init(SigningKey::generate)
}

/// Signs so many assertions, one a line, on every core.
fn sign(key: &SigningKey, issuer: &str, number: usize, file: &Path) -> Result<(), Failure> {
    let hands = std::thread::available_parallelism().map_or(1, usize::from);
    let now = process::now();
    let some = |many: usize| {
        let mut lines = String::new();
        for _ in 0..many {
            let mut jti = [0u8; 16];
            SystemEntropy.fill(&mut jti);
            let jti = hallpass_model::jose::base64url::render(jti);
            lines.push_str(&assertion(key, CLIENT, issuer, &jti, now, CLIENT_ASSERTION_MAX));
            lines.push('\n');
        }
        lines
    };
    let signed = std::thread::scope(|scope| {
        let signing: Vec<_> = (0..hands).map(|_| scope.spawn(|| some(number / hands + 1))).collect();
        signing
            .into_iter()
            .map(|hand| hand.join().map_err(|_| "signing failed"))
            .collect::<Result<String, _>>()
    })?;
    Ok(std::fs::write(file, signed)?)
}

/// A job that shows its token, with the outside issuer's key at hand.
fn exchanges(plan: &Plan) -> Result<Line, Failure> {
    let mut rates = Vec::new();
    let mut costs = Vec::new();
    for round in 0..plan.rounds {
        crate::say(&format!("federation exchange: round {} of {}", round + 1, plan.rounds));
        let server = Side::Ours.start(FEW)?;
        let question = ours::exchange(&server)?;
        let saturate = Pace::Saturate { warm_up: WARM_UP, window: plan.window };
        let tally = ask(&job(&server, question, Kind::Grant, saturate, CONNECTIONS[0]))?;
        rates.push(per_second(tally));
        costs.push(cpu_us(tally));
    }
    let (rate, cost) = (Spread::of(rates), Spread::of(costs));
    let note = format!(
        "{rate}; server CPU {cost} microseconds each; {} connections, the outside issuer's key at hand, one durable and recorded \
         write each",
        CONNECTIONS[0]
    );
    Ok(Line::new(Name::ExchangePerS, rate.median, "per s", None, note))
}

/// The rate beside a million sessions over the rate beside a thousand.
fn growth(plan: &Plan) -> Result<Line, Failure> {
    let mut ratios = Vec::new();
    let saturate = Pace::Saturate { warm_up: WARM_UP, window: plan.window };
    for round in 0..plan.rounds {
        let mut order = [FEW, plan.many];
        order.rotate_left(round % 2);
        let mut rates = [0.0; 2];
        for sessions in order {
            crate::say(&format!("growth: pair {} of {}: {sessions} sessions", round + 1, plan.rounds));
            let server = Side::Ours.start(sessions)?;
            let tally = Asking::of(Side::Ours, &server)?.grants(saturate, CONNECTIONS[0])?;
            rates[usize::from(sessions == plan.many)] = per_second(tally);
        }
        ratios.push(rates[1] / rates[0]);
    }
    let ratio = Spread::of(ratios);
    let note = format!(
        "{ratio}; client-credentials grants a second beside {} sessions over those beside {FEW}, pair by pair",
        plan.many
    );
    Ok(Line::new(Name::Growth1kTo1m, ratio.median, "times", None, note))
}

fn line(name: Name, ours: &[Figures], theirs: &[Figures]) -> Line {
    let of =
        |side: &[Figures], figure: &dyn Fn(&Figures) -> f64| Spread::of(side.iter().map(figure).collect());
    let at = |place: usize, by: fn(Tally) -> f64| {
        let figure = move |round: &Figures| by(round.most[place]);
        (of(ours, &figure), of(theirs, &figure))
    };
    match name {
        Name::ClientCredentialsRatio
        | Name::ClientCredentialsCpuRatio
        | Name::ClientCredentialsSignedRatio
        | Name::ClientCredentialsSignedCpuRatio => {
            let by_rate = matches!(name, Name::ClientCredentialsRatio | Name::ClientCredentialsSignedRatio);
            let by: fn(Tally) -> f64 = if by_rate { per_second } else { cpu_us };
            let (at_64, at_16) = (at(0, by), at(1, by));
            let ratio = |(ours, peer): (Spread, Spread)| match by_rate {
                true => ours.median / peer.median,
                false => peer.median / ours.median,
            };
            let value = ratio(at_64).min(ratio(at_16));
            let what = if by_rate { "requests a second" } else { "server CPU microseconds each" };
            let note = format!(
                "at 64 connections ours {}, peer {}, at 16 ours {}, peer {}: the lesser ratio; {what}; {HOW}{}",
                at_64.0,
                at_64.1,
                at_16.0,
                at_16.1,
                if is_signed(name) { SIGNED } else { OPAQUE }
            );
            Line::new(name, value, "times", Some(at_64.1.median), note)
        }
        Name::ClientCredentialsPerS => {
            let (ours, peer) = at(0, per_second);
            let note = format!("ours {ours}, peer {peer}; 64 connections; {HOW}{OPAQUE}");
            Line::new(name, ours.median, "per s", Some(peer.median), note)
        }
        _ => {
            let half = |by: fn(Tally) -> f64| {
                Spread::of(ours.iter().filter_map(|round| round.at_half.map(by)).collect())
            };
            let (p99, p50) = (half(|tally| tally.p99_ms), half(|tally| tally.p50_ms));
            let note = format!("{p99}; open loop at half of saturation; p50 {p50}; {HOW}{OPAQUE}");
            Line::new(name, p99.median, "ms", None, note)
        }
    }
}

fn per_second(tally: Tally) -> f64 {
    tally.requests as f64 / tally.seconds
}

fn cpu_us(tally: Tally) -> f64 {
    tally.cpu_seconds * 1e6 / tally.requests as f64
}

/// Where the peer is told the client's key.
pub(crate) fn client_jwks() -> String {
    serde_json::json!({ "keys": [client_key().public()] }).to_string()
}

/// A token of an outside issuer, and its file.
pub(crate) fn same_token(file: PathBuf, token: &str) -> Result<PathBuf, Failure> {
    // One for each connection: it may be shown more than once.
    std::fs::write(&file, format!("{token}\n").repeat(CONNECTIONS[0]))?;
    Ok(file)
}

const HOW: &str = "private_key_jwt with ES256 on both sides, an assertion a request; ours on SQLite with synchronous=FULL, ledger \
    entry included, access tokens signed (ES256); the peer (oidc-provider 9, one process) in memory, access tokens ";
const OPAQUE: &str = "opaque, unsigned";
const SIGNED: &str = "signed as ours are (RFC 9068, ES256)";
