//! Medians of the rounds, the table, and `target/bench.json`.

use std::fmt;
use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;

use crate::Failure;
use crate::load::Tally;
use crate::round::Figures;
use crate::side::Side;

/// What is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Name {
    /// Refreshes a second at saturation, ours to the peer's
    RefreshRatio,
    /// Processor time a refresh, the peer's to ours
    RefreshCpuRatio,
    /// Refreshes a second at saturation, ours to the peer's when it signs its access tokens too
    RefreshSignedRatio,
    /// Processor time a refresh, the peer's to ours, when it signs its access tokens too
    RefreshSignedCpuRatio,
    /// Introspections a second at saturation, 200 tokens, ours to the peer's
    IntrospectionRatio,
    /// Processor time an introspection, each token once, the peer's to ours
    IntrospectionColdCpuRatio,
    /// 99 in 100 refreshes at half of saturation are answered within this
    RefreshP99Ms,
    /// Memory of an idle server
    RestRssMib,
    /// Memory with 100,000 sessions
    #[value(name = "rss_100k_sessions_mib")]
    Rss100kSessionsMib,
    /// From the start of the process to the first answer
    StartMs,
    /// `hallpass token` of a warm daemon, ours to a program that does nothing but ask once on a Unix socket
    TokenFloorRatio,
    /// `hallpass token` of a warm daemon, ours to Debian's oidc-token
    TokenOidcAgentRatio,
    /// Renewals that a thousand `hallpass token` at once cause, at most
    ParallelTokenRefreshes,
    /// Memory of an idle daemon with one sign-in
    DaemonRssMib,
    /// Client-credentials grants a second at saturation, ours to the peer's: the lesser of 64 and 16 connections
    ClientCredentialsRatio,
    /// Processor time of a client-credentials grant, the peer's to ours: likewise
    ClientCredentialsCpuRatio,
    /// Client-credentials grants a second at saturation, ours to the peer's when it signs its access tokens too: likewise
    ClientCredentialsSignedRatio,
    /// Processor time of a client-credentials grant, the peer's to ours, when it signs its access tokens too: likewise
    ClientCredentialsSignedCpuRatio,
    /// Client-credentials grants a second at saturation, ours
    ClientCredentialsPerS,
    /// 99 in 100 client-credentials grants at half of saturation are answered within this
    ClientCredentialsP99Ms,
    /// Federation exchanges a second at saturation, ours
    ExchangePerS,
    /// Client-credentials grants a second beside 1,000,000 sessions to those beside 1,000
    #[value(name = "growth_1k_to_1m")]
    Growth1kTo1m,
    /// Sign-ins lost by `hallpass torture`
    TortureLostSessions,
    /// Processes killed by it meanwhile
    TortureKills,
}

impl Name {
    pub(crate) const ALL: [Self; 10] = [
        Self::RefreshRatio,
        Self::RefreshCpuRatio,
        Self::RefreshSignedRatio,
        Self::RefreshSignedCpuRatio,
        Self::IntrospectionRatio,
        Self::IntrospectionColdCpuRatio,
        Self::RefreshP99Ms,
        Self::RestRssMib,
        Self::Rss100kSessionsMib,
        Self::StartMs,
    ];

    /// Those that `token` gives, and no round.
    pub(crate) const HOLDER: [Self; 4] =
        [Self::TokenFloorRatio, Self::TokenOidcAgentRatio, Self::ParallelTokenRefreshes, Self::DaemonRssMib];

    /// Those that `clients` gives, and no round.
    #[cfg(test)]
    const CLIENTS: [Self; 8] = [
        Self::ClientCredentialsRatio,
        Self::ClientCredentialsCpuRatio,
        Self::ClientCredentialsSignedRatio,
        Self::ClientCredentialsSignedCpuRatio,
        Self::ClientCredentialsPerS,
        Self::ClientCredentialsP99Ms,
        Self::ExchangePerS,
        Self::Growth1kTo1m,
    ];

    /// Those that `torture` gives, and no round.
    pub(crate) const TORTURE: [Self; 2] = [Self::TortureLostSessions, Self::TortureKills];

    fn spelled(self) -> String {
        self.to_possible_value().expect("no name is hidden").get_name().to_owned()
    }
}

/// The names that are wanted; all of them where none is named.
#[derive(Debug, Clone)]
pub(crate) struct Wanted(pub(crate) Vec<Name>);

impl Wanted {
    /// Whether this one is.
    pub(crate) fn has(&self, name: Name) -> bool {
        self.0.is_empty() || self.0.contains(&name)
    }
}

/// Every round of both sides.
#[derive(Debug, Default)]
pub(crate) struct Report {
    ours: Vec<Figures>,
    peer: Vec<Figures>,
    signed: Vec<Figures>,
}

/// One line of `target/bench.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    name: String,
    /// Ours, or ours against the peer's where the name says ratio: more is better for us, but where it is a time (`token_`).
    value: f64,
    unit: &'static str,
    /// The peer's own figure, if it has one.
    peer: Option<f64>,
    note: String,
}

impl Line {
    /// One that no round gives.
    pub(crate) fn new(name: Name, value: f64, unit: &'static str, peer: Option<f64>, note: String) -> Self {
        Self { name: name.spelled(), value: rounded(value), unit, peer: peer.map(rounded), note }
    }
}

impl Report {
    /// Takes in what a round gave.
    pub(crate) fn add(&mut self, side: Side, figures: Figures) {
        match side {
            Side::Ours => self.ours.push(figures),
            Side::Peer => self.peer.push(figures),
            Side::PeerSigned => self.signed.push(figures),
        }
    }

    /// What was asked for, in [`Name::ALL`]'s order.
    pub(crate) fn lines(&self, wanted: &Wanted) -> Vec<Line> {
        Name::ALL.into_iter().filter(|name| wanted.has(*name)).map(|name| self.line(name)).collect()
    }

    fn line(&self, name: Name) -> Line {
        let of = |figure: fn(&Figures) -> Option<f64>| {
            (Spread::of_rounds(&self.ours, figure), Spread::of_rounds(&self.peer, figure))
        };
        let (value, unit, (ours, peer), note) = match name {
            Name::RefreshRatio => {
                let both = of(|round| round.refresh.map(per_second));
                (
                    both.0.median / both.1.median,
                    "times",
                    both,
                    format!("requests per second at saturation; {REFRESH}"),
                )
            }
            Name::RefreshCpuRatio => {
                let both = of(|round| round.refresh.map(cpu_per_1000));
                (
                    both.1.median / both.0.median,
                    "times",
                    both,
                    format!("server CPU seconds per 1,000; {REFRESH}"),
                )
            }
            Name::RefreshSignedRatio | Name::RefreshSignedCpuRatio => {
                let by: fn(Tally) -> f64 =
                    if name == Name::RefreshSignedRatio { per_second } else { cpu_per_1000 };
                let of = |side: &[Figures]| Spread::of_rounds(side, |round| round.refresh.map(by));
                let (ours, peer) = (of(&self.ours), of(&self.signed));
                let (value, what) = match name {
                    Name::RefreshSignedRatio => {
                        (ours.median / peer.median, "requests per second at saturation")
                    }
                    _ => (peer.median / ours.median, "server CPU seconds per 1,000"),
                };
                (value, "times", (ours, peer), format!("{what}; {SIGNED}"))
            }
            Name::IntrospectionRatio => {
                let both = of(|round| round.introspection_warm.map(per_second));
                (
                    both.0.median / both.1.median,
                    "times",
                    both,
                    format!("requests per second at saturation, 200 tokens; {INTROSPECTION}"),
                )
            }
            Name::IntrospectionColdCpuRatio => {
                let both = of(|round| round.introspection_cold.map(cpu_per_1000));
                (
                    both.1.median / both.0.median,
                    "times",
                    both,
                    format!("server CPU seconds per 1,000, 50,000 tokens once each; {INTROSPECTION}"),
                )
            }
            Name::RefreshP99Ms => {
                let both = of(|round| round.refresh_at_half.map(|tally| tally.p99_ms));
                let half = of(|round| round.refresh_at_half.map(|tally| tally.p50_ms));
                let note =
                    format!("open loop at half of each side's saturation; p50 {} against {}", half.0, half.1);
                (both.0.median, "ms", both, note)
            }
            Name::RestRssMib => {
                let both = of(|round| round.rest_rss_mib);
                (both.0.median, "MiB", both, "an empty start, one answer, a second of quiet".to_owned())
            }
            Name::Rss100kSessionsMib => {
                let both = of(|round| round.rss_100k_mib);
                (
                    both.0.median,
                    "MiB",
                    both,
                    "after the refresh load; ours keeps them on disk, the peer in memory".to_owned(),
                )
            }
            Name::TokenFloorRatio
            | Name::TokenOidcAgentRatio
            | Name::ParallelTokenRefreshes
            | Name::DaemonRssMib
            | Name::ClientCredentialsRatio
            | Name::ClientCredentialsCpuRatio
            | Name::ClientCredentialsSignedRatio
            | Name::ClientCredentialsSignedCpuRatio
            | Name::ClientCredentialsPerS
            | Name::ClientCredentialsP99Ms
            | Name::ExchangePerS
            | Name::Growth1kTo1m
            | Name::TortureLostSessions
            | Name::TortureKills => unreachable!("no round gives these"),
            Name::StartMs => {
                let both = of(|round| round.start_ms);
                (both.0.median, "ms", both, "an empty start to the first metadata answer".to_owned())
            }
        };
        Line::new(name, value, unit, Some(peer.median), format!("ours {ours}, peer {peer}; {note}"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first clauses have the numbers; how they were come by is in the file.
        let numbers = self.note.split("; ").next().unwrap_or_default();
        write!(f, "{:30} {:>8} {:5}  {numbers}", self.name, self.value, self.unit)
    }
}

/// Writes the lines as one JSON list.
pub(crate) fn write(file: &Path, lines: &[Line]) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(file, serde_json::to_vec_pretty(lines)?)?)
}

/// The median of the rounds, with the least and the most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of_rounds(rounds: &[Figures], figure: impl Fn(&Figures) -> Option<f64>) -> Self {
        Self::of(rounds.iter().filter_map(&figure).collect())
    }

    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        let half = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            (at(half.wrapping_sub(1)) + at(half)) / 2.0
        } else {
            at(half)
        };
        Self { median, least: at(0), most: at(values.len().wrapping_sub(1)) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} to {})", rounded(self.median), rounded(self.least), rounded(self.most))
    }
}

fn per_second(tally: Tally) -> f64 {
    tally.requests as f64 / tally.seconds
}

fn cpu_per_1000(tally: Tally) -> f64 {
    tally.cpu_seconds * 1000.0 / tally.requests as f64
}

/// Three figures: more would be noise.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10f64.powi(2 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

const REFRESH: &str = "64 connections over 100,000 bearer sessions, each rotated; ours on SQLite with synchronous=FULL, ledger \
    entry included, access tokens signed (ES256); the peer (oidc-provider 9, one process) in memory, access tokens opaque, unsigned";
const SIGNED: &str =
    "as refresh_ratio, but that the peer's access tokens are JWTs signed with ES256, as ours are";
const INTROSPECTION: &str = "64 connections; ours called with a bearer token, the peer with a client secret by HTTP Basic, \
    as it takes no bearer token there";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_not_the_mean() {
        let odd = Spread::of(vec![9.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.least, odd.most), (2.0, 1.0, 9.0));
        assert_eq!(Spread::of(vec![4.0, 1.0]).median, 2.5);
        assert!(Spread::of(Vec::new()).median.is_nan());
    }

    #[test]
    fn numbers_keep_three_figures() {
        assert_eq!((rounded(5432.1), rounded(0.012345), rounded(1.0)), (5430.0, 0.0123, 1.0));
    }

    #[test]
    fn names_are_spelled_as_the_file_spells_them() {
        let all = Name::ALL.into_iter().chain(Name::CLIENTS).chain(Name::HOLDER).chain(Name::TORTURE);
        let spelled: Vec<String> = all.map(Name::spelled).collect();
        assert_eq!(
            spelled.join(" "),
            "refresh_ratio refresh_cpu_ratio refresh_signed_ratio refresh_signed_cpu_ratio introspection_ratio \
             introspection_cold_cpu_ratio refresh_p99_ms rest_rss_mib rss_100k_sessions_mib start_ms client_credentials_ratio \
             client_credentials_cpu_ratio client_credentials_signed_ratio client_credentials_signed_cpu_ratio \
             client_credentials_per_s client_credentials_p99_ms exchange_per_s \
             growth_1k_to_1m token_floor_ratio \
             token_oidc_agent_ratio parallel_token_refreshes daemon_rss_mib torture_lost_sessions torture_kills"
        );
    }
}
