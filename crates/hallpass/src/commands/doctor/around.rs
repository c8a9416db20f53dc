//! What is around: issuers and their clocks, the browser, proxies and certificates, other helpers.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;
use hallpass_holder::{Holder, HolderError, IssuerSeen, Offers, choose};
use hallpass_model::lifetimes::CLOCK_SKEW;
use hallpass_model::wire::metadata::BadIssuer;

use super::Finding;
use crate::{env, surroundings};

/// How long an issuer may take: a person waits for all of this.
const ISSUER_TIME_OUT: Duration = Duration::from_secs(5);
/// How long git may take to say what its settings are.
const GIT_TIME_OUT: Duration = Duration::from_secs(3);

/// `issuer` is `None` if no issuer shall be asked, and otherwise whom to ask besides those that are known.
pub(super) async fn look(
    holder: &Holder,
    issuer: Option<Option<&str>>,
    ca_file: Option<&Path>,
) -> Vec<Finding> {
    let asked = async {
        match issuer {
            Some(named) => issuers(holder, named).await,
            None => vec![Finding::note("issuer", "none was asked: `--offline`")],
        }
    };
    let (mut findings, git) = tokio::join!(asked, git_helpers());
    findings.push(browser());
    findings.extend(proxies());
    findings.extend(certificates(ca_file));
    findings.extend(git);
    findings
}

async fn issuers(holder: &Holder, named: Option<&str>) -> Vec<Finding> {
    let mut all: Vec<String> = named.map(str::to_owned).into_iter().collect();
    all.extend(env::HALLPASS_ISSUER.text());
    all.extend(holder.list().unwrap_or_default().into_iter().map(|identity| identity.issuer));
    all.sort();
    all.dedup();
    let looked = all.iter().map(|issuer| tokio::time::timeout(ISSUER_TIME_OUT, holder.look_at(issuer)));
    let seen = join_all(looked).await;
    all.iter().zip(seen).flat_map(|(issuer, seen)| of_issuer(issuer, seen.ok())).collect()
}

/// What to do about an issuer that cannot be reached, or is none.
const NETWORK: &str = "look at the network and the proxy; nothing here is lost by it";

fn todo(error: &HolderError) -> &'static str {
    match error {
        HolderError::Unreachable { why, .. } if why.contains("certificate") => {
            "if your company looks into TLS, name its certificates in HALLPASS_CA_FILE; if not, somebody else does"
        }
        HolderError::Unreachable { .. } => NETWORK,
        HolderError::Unexpected { what, .. } if what.contains("web page") => {
            "open a browser: this network may want its guests to sign in first; or that is not the issuer's address"
        }
        HolderError::BadIssuer { why: BadIssuer::Another, .. } => {
            "sign in to the issuer that it names, if you trust that one: it is another"
        }
        _ => "look at the address: what answers there is no issuer, or one whose endpoints are named by hand",
    }
}

fn of_issuer(issuer: &str, seen: Option<IssuerSeen>) -> Vec<Finding> {
    let Some(seen) = seen else {
        return vec![Finding::act("issuer", format!("{issuer} does not answer in time"), NETWORK)];
    };
    let offered = match seen.metadata {
        Ok(offered) => offered,
        Err(error) => {
            let todo = todo(&error);
            return vec![Finding::act("issuer", format!("{issuer} cannot be used: {error}"), todo)];
        }
    };
    let mut has = vec![if offered.ours { "a Hallpass issuer" } else { "an OAuth issuer" }];
    let offers = [
        (offered.browser, "browser"),
        (offered.device, "device flow"),
        (offered.revocation, "revocation"),
        (offered.bound, "bound tokens"),
    ];
    has.extend(offers.iter().filter(|(is, _)| *is).map(|(_, what)| *what));
    let mut findings = vec![Finding::good("issuer", format!("{issuer} answers: {}", has.join(", ")))];
    if !offered.revocation {
        findings.push(Finding::note(
            "issuer",
            format!("{issuer} has no revocation endpoint: a logout can only wipe what is here"),
        ));
    }
    findings.extend(seen.clock_behind.map(|behind| clock(issuer, behind)));
    findings
}

/// Clocks that differ by more than issuers allow for make good tokens be refused.
fn clock(issuer: &str, behind: i64) -> Finding {
    let seconds = behind.unsigned_abs() / 1_000;
    let way = if behind > 0 { "behind" } else { "ahead of" };
    match behind.unsigned_abs() {
        0 => Finding::good("clock", format!("it agrees with {issuer}")),
        off if off <= CLOCK_SKEW.as_millis().unsigned_abs() => {
            Finding::note("clock", format!("it is {seconds} s {way} {issuer}"))
        }
        _ => Finding::act(
            "clock",
            format!("it is {seconds} s {way} {issuer}"),
            "set it, and keep it set by NTP",
        ),
    }
}

fn browser() -> Finding {
    let at = surroundings::surroundings_of_who_looks();
    let all = Offers { browser: true, device: true, paste: true };
    match choose(None, all, &at) {
        Ok(choice) => {
            Finding::good("browser", format!("a login would ask by the {} flow: {}", choice.flow, choice.why))
        }
        Err(_) => Finding::note("browser", "nobody is at a terminal here, so a login would ask nobody"),
    }
}

/// A proxy sees where this program goes; its password is nobody's business.
fn proxies() -> Vec<Finding> {
    let variables = [env::HTTPS_PROXY, env::ALL_PROXY];
    let set = variables.into_iter().filter_map(|variable| Some((variable.name, variable.text()?)));
    set.map(|(name, value)| {
        let address = if value.contains("://") { value.clone() } else { format!("http://{value}") };
        match url::Url::parse(&address) {
            Ok(url) if url.host().is_some() => {
                let shown = format!(
                    "{}://{}",
                    url.scheme(),
                    &url[url::Position::BeforeHost..url::Position::AfterPort]
                );
                Finding::note("proxy", format!("{name} sends it by {shown}"))
            }
            _ => Finding::act(
                "proxy",
                format!("{name} is not an address"),
                format!("set {name} to `http://host:port`"),
            ),
        }
    })
    .collect()
}

fn certificates(ca_file: Option<&Path>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let system = env::SSL_CERT_FILE.path();
    let named = [(ca_file, "HALLPASS_CA_FILE"), (system.as_deref(), "SSL_CERT_FILE")];
    for (path, name) in named.into_iter().filter_map(|(path, name)| Some((path?, name))) {
        let holds_one = std::fs::read(path).is_ok_and(|pem| {
            let mark = b"-----BEGIN CERTIFICATE-----";
            pem.windows(mark.len()).any(|part| part == mark)
        });
        let shown = path.display();
        findings.push(match holds_one {
            true => Finding::note("certificates", format!("those in {shown} are trusted ({name})")),
            false => Finding::act(
                "certificates",
                format!("{shown} holds no certificate"),
                format!("set {name} to a file of PEM certificates, or to nothing"),
            ),
        });
    }
    findings
}

/// Whom git asks for credentials, in its order, and who keeps what they are told in the clear.
async fn git_helpers() -> Vec<Finding> {
    let mut git = tokio::process::Command::new("git");
    git.args(["config", "--get-all", "credential.helper"]).stdin(Stdio::null()).kill_on_drop(true);
    let Ok(Ok(answer)) = tokio::time::timeout(GIT_TIME_OUT, git.output()).await else {
        return Vec::new(); // there is no git
    };
    let helpers: Vec<String> = String::from_utf8_lossy(&answer.stdout)
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().next())
        .map(|word| hallpass_model::purpose::plain(word, 80))
        .collect();
    if helpers.is_empty() {
        return vec![Finding::note("git", "it asks no credential helper")];
    }
    let mut findings = vec![Finding::note("git", format!("it asks, in this order: {}", helpers.join(", ")))];
    if helpers.iter().any(|helper| helper == "store") {
        findings.push(Finding::act(
            "git",
            "its helper `store` writes every password and token it is told into a file",
            "take it out of `credential.helper`",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Level;

    #[test]
    fn a_clock_that_is_far_off_needs_doing_something_about() {
        assert_eq!(clock("x", 0).level, Level::Good);
        assert_eq!(clock("x", 5_000).level, Level::Note);
        let finding = clock("https://id.example", -600_000);
        assert_eq!(finding.level, Level::Act);
        assert!(finding.said.contains("600 s ahead of https://id.example"), "{}", finding.said);
    }
}
