//! Without a display, without a terminal, without a network: three ways in which nobody sits in front of it.

use std::time::Duration;

use super::questions::{Answered, Verdict};
use super::run::Ran;
use super::scene::{Asked, Network};
use super::secrets::Token;

pub(super) const DISPLAY: &str = "does it work without a display";
pub(super) const TERMINAL: &str = "does it end, or say where to go on, without a terminal";
pub(super) const NETWORK: &str = "does it keep its sign-in, and its temper, when the network is cut";

pub(super) fn display(ran: &Ran) -> Answered {
    let mut evidence = vec![match ran.code {
        Some(code) => format!("on a terminal without a display it ended with {code}"),
        None => "on a terminal without a display it did not end in time".into(),
    }];
    if ran.says_where() {
        evidence.push("it showed an address to open elsewhere".into());
    }
    evidence.push(spoke(ran));
    let verdict = match (ran.code, ran.says_where()) {
        (Some(0), _) | (None, true) => Verdict::Pass,
        _ => Verdict::Fail,
    };
    Answered::new(DISPLAY, verdict, evidence)
}

/// From a run with nobody to answer it: it ends well, says why it cannot go on, or says where somebody else can.
pub(super) fn terminal(ran: &Ran) -> Answered {
    let mut evidence = vec![match (ran.code, ran.says_where()) {
        (Some(code), _) => format!("without a terminal it ended with {code}"),
        (None, true) => "without a terminal it showed an address to open elsewhere, and waited".into(),
        (None, false) => "without a terminal it waited for somebody who was not there".into(),
    }];
    evidence.push(spoke(ran));
    let verdict = match (ran.code, ran.first_word) {
        (Some(0), _) | (Some(_), Some(_)) => Verdict::Pass,
        (None, _) if ran.says_where() => Verdict::Pass,
        _ => Verdict::Fail,
    };
    Answered::new(TERMINAL, verdict, evidence)
}

/// What a tool that was signed in did when it was asked for a token without a network, and what it had when that was back.
pub(super) fn network_of_session(
    network: Network,
    at_most: Duration,
    cut: Option<&Asked>,
    afterwards: Option<&Token>,
) -> Answered {
    let mut evidence = vec![how(network)];
    let mut verdict = Verdict::Pass;
    match cut {
        None => {
            evidence.push(format!("asked for a token, it did not end in {} s", at_most.as_secs()));
            verdict = Verdict::Fail;
        }
        Some(asked) if asked.code == 0 => evidence.push("it handed out a token that it had".into()),
        Some(asked) if asked.err.is_empty() && asked.out.is_empty() => {
            evidence.push(format!("asked for a token, it ended with {} and no word of why", asked.code));
            verdict = Verdict::Fail;
        }
        Some(asked) => evidence.push(format!("asked for a token, it ended with {} and said why", asked.code)),
    }
    match afterwards {
        Some(_) => evidence.push("when the network was back, it handed one out".into()),
        None => {
            evidence.push("when the network was back, it was no longer signed in".into());
            verdict = Verdict::Fail;
        }
    }
    Answered::new(NETWORK, verdict, evidence)
}

/// What a tool that was to sign in did without a network.
pub(super) fn network_of_login(network: Network, ran: &Ran) -> Answered {
    let said = spoke(ran);
    let (verdict, what) = match (ran.code, ran.first_word) {
        (Some(0), _) => {
            return Answered::not_testable(
                NETWORK,
                "it ended with 0 without one: it asked nobody for anything",
            );
        }
        (Some(code), Some(_)) => (Verdict::Pass, format!("signing in, it ended with {code} and said why")),
        (Some(code), None) => (Verdict::Fail, format!("signing in, it ended with {code} and no word of why")),
        (None, _) => (Verdict::Fail, "signing in, it did not end in time".into()),
    };
    Answered::new(NETWORK, verdict, vec![how(network), what, said])
}

fn how(network: Network) -> String {
    match network {
        Network::Refused => "cut by a proxy that refuses: no network namespace can be made here".into(),
        Network::Cut | Network::There => "cut by a network namespace with nothing in it".into(),
    }
}

fn spoke(ran: &Ran) -> String {
    match ran.first_word {
        Some(after) => format!("it said something after {:.1} s", after.as_secs_f64()),
        None => "it said nothing at all".into(),
    }
}
