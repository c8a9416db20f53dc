//! The questions, each answered from what was seen, and from nothing else.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;

use super::run::Ran;
use super::secrets::{self, Kind, Token};
use super::seen::Seen;
use super::traffic::Issued;

/// An access token that lives longer than this is worth stealing.
const EPHEMERAL_SECONDS: i64 = 3_600;
/// A revocation that takes longer than this leaves a thief time.
pub(super) const BITES_SECONDS: u64 = 60;
/// Words in a scope that say "everything".
const EVERYTHING: &[&str] =
    &["*", "all", "admin", "full", "root", "cloud-platform", "user_impersonation", "api"];

/// An answer.
#[derive(Debug, Serialize)]
pub(super) struct Answered {
    pub(super) question: &'static str,
    pub(super) verdict: Verdict,
    pub(super) evidence: Vec<String>,
}

/// What the evidence shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Pass,
    Fail,
    NotTestable,
}

impl Answered {
    pub(super) fn new(question: &'static str, verdict: Verdict, evidence: Vec<String>) -> Self {
        Self { question, verdict, evidence }
    }

    pub(super) fn not_testable(question: &'static str, why: &str) -> Self {
        Self::new(question, Verdict::NotTestable, vec![why.to_owned()])
    }

    /// SECURITY: the same, with no token that is known in its evidence: a file may be named by one.
    pub(super) fn without(mut self, known: &Known) -> Self {
        for line in &mut self.evidence {
            for token in known.all().filter(|token| token.text.len() >= secrets::LEN_MIN) {
                *line = line.replace(&*token.text, "[a token]");
            }
        }
        self
    }
}

/// All the tokens that are known, wherever they were seen.
pub(super) struct Known {
    pub(super) tokens: BTreeSet<Token>,
    /// The one that the tool hands out, if it was asked for one.
    pub(super) handed_out: Option<Token>,
    /// What an issuer said when it handed them out.
    pub(super) issued: Vec<Issued>,
    /// Kinds of those that were sent in an address.
    pub(super) in_addresses: BTreeSet<Kind>,
    /// Why what the tool said to others was not seen, if it was not.
    pub(super) blind: Option<String>,
}

impl Known {
    /// Everything that must not be seen.
    fn all(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().chain(&self.handed_out)
    }

    /// Each access token once.
    fn access(&self) -> BTreeSet<&Token> {
        self.all().filter(|token| token.kind == Kind::Access).collect()
    }

    /// What the task is given: the token that the tool hands out, or else all that were seen.
    fn for_the_task(&self) -> BTreeSet<&Token> {
        match &self.handed_out {
            Some(token) => [token].into(),
            None => self.access(),
        }
    }

    fn issued(&self, token: &Token) -> Option<&Issued> {
        self.issued.iter().find(|issued| issued.access == token.text)
    }

    /// Why there is nothing to say, with the reason why nothing was seen if that is known.
    fn unseen(&self, what: &str) -> String {
        match &self.blind {
            Some(why) => format!("{what}: {why}"),
            None => what.to_owned(),
        }
    }
}

pub(super) const EPHEMERAL: &str = "are its tokens ephemeral";
pub(super) const SAFE: &str = "is the refresh token safe from history, config and process inspection";
pub(super) const SCOPE: &str = "does its scope fit the task";
pub(super) const BITES: &str = "how long does a revocation take to bite";
pub(super) const LOGS: &str = "do logs show misuse without the secret";
pub(super) const TENANTS: &str = "does it keep tenants apart";

pub(super) fn ephemeral(known: &Known, now: i64) -> Answered {
    let (mut evidence, mut verdict) = (Vec::new(), Verdict::NotTestable);
    for token in known.access() {
        let claims = secrets::claims(&token.text);
        let lifetime = match (&claims, known.issued(token)) {
            (Some(claims), issued) => {
                secrets::lifetime(claims, now).or(issued.and_then(|issued| issued.expires_in))
            }
            (None, Some(issued)) => issued.expires_in,
            (None, None) => {
                evidence.push("an access token was seen that does not say how long it lives".into());
                continue;
            }
        };
        match lifetime {
            Some(seconds) if seconds <= EPHEMERAL_SECONDS => {
                evidence.push(format!("an access token lives {seconds} s"));
                if verdict == Verdict::NotTestable {
                    verdict = Verdict::Pass;
                }
            }
            Some(seconds) => {
                evidence.push(format!(
                    "an access token lives {seconds} s, and {EPHEMERAL_SECONDS} s is the most"
                ));
                verdict = Verdict::Fail;
            }
            None => {
                evidence.push("an access token has no end".into());
                verdict = Verdict::Fail;
            }
        }
    }
    evidence.dedup();
    if evidence.is_empty() {
        evidence.push(known.unseen("no access token was seen (name a command that prints one with --token)"));
    }
    Answered::new(EPHEMERAL, verdict, evidence)
}

pub(super) fn safe(known: &Known, seen: &Seen, ran: &Ran) -> Answered {
    let mut evidence = Vec::new();
    for (path, kept) in &seen.files {
        let text = String::from_utf8_lossy(&kept.contents);
        let mut here = secrets::find(&text);
        here.extend(known.all().filter(|token| text.contains(&*token.text)).cloned());
        for kind in here.iter().map(|token| token.kind).collect::<BTreeSet<_>>() {
            evidence.push(format!(
                "{} holds its {} in the clear, with mode {:04o}: {}",
                path.display(),
                kind.words(),
                kept.mode,
                kept.readers()
            ));
        }
    }
    for (what, texts) in [("an argument list", &seen.arguments), ("an environment", &seen.environments)] {
        let mut kinds = BTreeSet::new();
        for text in texts {
            kinds.extend(secrets::find(text).into_iter().map(|token| token.kind));
            kinds.extend(known.all().filter(|token| text.contains(&*token.text)).map(|token| token.kind));
        }
        evidence.extend(kinds.iter().map(|kind| format!("{what} of a process showed its {}", kind.words())));
    }
    if !evidence.is_empty() {
        return Answered::new(SAFE, Verdict::Fail, evidence);
    }
    let mut looked = format!(
        "no token was seen in {} files, {} argument lists and {} variables",
        seen.files.len(),
        seen.arguments.len(),
        seen.environments.len()
    );
    if !seen.closed.is_empty() {
        let _ = write!(
            looked,
            "; {} processes could not be looked into, not even by their own user",
            seen.closed.len()
        );
    }
    match (ran.code, seen.files.is_empty()) {
        (Some(0), false) => Answered::new(SAFE, Verdict::Pass, vec![looked]),
        (Some(0), true) => Answered::not_testable(SAFE, "it kept nothing, so there is nothing to find"),
        _ => Answered::not_testable(SAFE, &format!("it did not get as far as having one; {looked}")),
    }
}

pub(super) fn scope(known: &Known, wanted: &[String]) -> Answered {
    let (mut evidence, mut verdict) = (Vec::new(), Verdict::NotTestable);
    for token in known.for_the_task() {
        let (claims, issued) = (secrets::claims(&token.text), known.issued(token));
        let said = claims.as_ref().and_then(secrets::scopes);
        let said = said.or_else(|| {
            let text = issued?.scope.as_ref()?;
            Some(text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>())
        });
        let Some(scopes) = said else {
            evidence.push("an access token does not say how far it reaches".into());
            continue;
        };
        let words =
            |scope: &str| scope.rsplit(['/', ':', '.']).next().unwrap_or_default().to_ascii_lowercase();
        let all: Vec<&String> =
            scopes.iter().filter(|scope| EVERYTHING.contains(&words(scope).as_str())).collect();
        let more: Vec<&String> =
            scopes.iter().filter(|scope| !wanted.is_empty() && !wanted.contains(scope)).collect();
        evidence.push(format!(
            "it reaches as far as `{}`",
            hallpass_model::purpose::plain(&scopes.join(" "), 200)
        ));
        if !more.is_empty() {
            evidence.push(format!("of that, {} were not asked for", more.len()));
        }
        if !all.is_empty() {
            evidence.push("one of them means everything".into());
        }
        verdict = match (all.is_empty() && more.is_empty(), wanted.is_empty(), verdict) {
            (false, ..) => Verdict::Fail,
            (true, false, Verdict::NotTestable) => Verdict::Pass,
            (true, _, before) => before,
        };
        if claims.is_some_and(|claims| claims.get("aud").is_none()) {
            evidence.push("it is for no API in particular".into());
            verdict = Verdict::Fail;
        }
    }
    if evidence.is_empty() {
        evidence.push(known.unseen("no access token was seen that says how far it reaches"));
    } else if verdict == Verdict::NotTestable {
        evidence.push("say how far the task needs it to reach with --scope".into());
    }
    Answered::new(SCOPE, verdict, evidence)
}

/// What the tool itself said, and what the log said of a token that was used when it was dead.
pub(super) fn logs(known: &Known, said: &str, log: Option<(&str, &str)>) -> Answered {
    let shown: BTreeSet<Kind> = secrets::find(said)
        .iter()
        .map(|token| token.kind)
        .chain(known.all().filter(|token| said.contains(&*token.text)).map(|token| token.kind))
        .collect();
    if !shown.is_empty() {
        let evidence = shown.iter().map(|kind| format!("it printed its {} on the terminal", kind.words()));
        return Answered::new(LOGS, Verdict::Fail, evidence.collect());
    }
    if !known.in_addresses.is_empty() {
        let evidence = known.in_addresses.iter().map(|kind| {
            format!("it sent its {} in an address, which every log on the way keeps", kind.words())
        });
        return Answered::new(LOGS, Verdict::Fail, evidence.collect());
    }
    let Some((before, after)) = log else {
        let why = "what it printed held no token; whether the issuer's log shows misuse needs --log, --api and --logout";
        return Answered::not_testable(LOGS, why);
    };
    if known.all().any(|token| after.contains(&*token.text)) {
        return Answered::new(LOGS, Verdict::Fail, vec!["the log holds a token".into()]);
    }
    let new = after.lines().count().saturating_sub(before.lines().count());
    match new {
        0 => {
            Answered::new(LOGS, Verdict::Fail, vec!["the use of a dead token left no line in the log".into()])
        }
        new => Answered::new(
            LOGS,
            Verdict::Pass,
            vec![format!("{new} new lines in the log, and no token in them")],
        ),
    }
}

/// From the tokens of two tenants, asked for one after the other, and the first again.
pub(super) fn tenants(answers: &[Option<Token>]) -> Answered {
    let named = |answer: &Option<Token>| {
        answer
            .as_ref()
            .and_then(|token| secrets::claims(&token.text))
            .and_then(|claims| secrets::tenant(&claims))
    };
    let names: Vec<Option<String>> = answers.iter().map(named).collect();
    let [Some(first), .., Some(again)] = &names[..] else {
        return Answered::not_testable(TENANTS, "its tokens do not say whose they are");
    };
    let Some(Some(other)) = names.get(1) else {
        return Answered::not_testable(TENANTS, "the second command gave no token that says whose it is");
    };
    if first == other {
        return Answered::new(
            TENANTS,
            Verdict::Fail,
            vec!["both commands gave a token of the same tenant".into()],
        );
    }
    if first != again {
        let why = "asked for the first again after the second, it gave the second's";
        return Answered::new(TENANTS, Verdict::Fail, vec![why.into()]);
    }
    Answered::new(
        TENANTS,
        Verdict::Pass,
        vec!["two tenants, and each command got its own, also after the other".into()],
    )
}
