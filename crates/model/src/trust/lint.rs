//! What is wrong with a rule, before anybody comes in by it.

use serde::{Deserialize, Serialize};

use super::{Condition, Preset, Rule};
use crate::nearest::nearest;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gravity {
    /// Somebody should look at it.
    Warned,
    /// It would let strangers in, or is for nobody at all. Such a rule is not taken.
    Refused,
}

/// Something that is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A name that stays, for whoever acts on it.
    pub rule: String,
    /// How bad it is.
    pub gravity: Gravity,
    /// What is wrong, and why that matters.
    pub told: String,
    /// What to do about it.
    pub hint: String,
}

/// What is wrong with a rule, worst first. `own_issuer` is the org's own identifier: the audience that nobody else has.
pub fn lint(rule: &Rule, own_issuer: &str) -> Vec<Finding> {
    let mut found = Found::default();
    audience(rule, own_issuer, &mut found);
    issuer(rule, &mut found);
    pinned(rule, &mut found);
    for condition in &rule.conditions {
        one(rule, condition, &mut found);
    }
    match rule.preset {
        Preset::Github => github(rule, &mut found),
        Preset::Gitlab => gitlab(rule, &mut found),
        Preset::Buildkite => buildkite(rule, &mut found),
        Preset::Kubernetes => kubernetes(rule, &mut found),
        Preset::Spiffe => spiffe(rule, &mut found),
        _ => {}
    }
    found.0.sort_by_key(|finding| std::cmp::Reverse(finding.gravity));
    found.0
}

#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    fn refuse(&mut self, rule: &str, told: impl Into<String>, hint: impl Into<String>) {
        self.add(rule, Gravity::Refused, told.into(), hint.into());
    }

    fn warn(&mut self, rule: &str, told: impl Into<String>, hint: impl Into<String>) {
        self.add(rule, Gravity::Warned, told.into(), hint.into());
    }

    fn add(&mut self, rule: &str, gravity: Gravity, told: String, hint: String) {
        self.0.push(Finding { rule: rule.to_owned(), gravity, told, hint });
    }
}

impl Rule {
    fn on(&self, claim: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.claim.as_str() == claim)
    }

    fn pins(&self, claim: &str) -> bool {
        self.on(claim).is_some_and(|condition| condition.pattern.is_exact())
    }

    fn pins_any(&self, claims: &[&str]) -> bool {
        claims.iter().any(|claim| self.pins(claim))
    }
}

/// Audiences that jobs ask for in order to show the token to somebody else, who could then show it to us.
const OTHERS_AUDIENCES: &[&str] = &[
    "sts.amazonaws.com",
    "api://AzureADTokenExchange",
    "https://vault.example.com",
    "vault",
    "sigstore",
    "pypi",
];
/// The same of package registries, by what their audiences begin with.
const REGISTRIES_AUDIENCES: &[&str] = &["npm:", "rubygems."];

fn audience(rule: &Rule, own_issuer: &str, found: &mut Found) {
    let hint = format!("let the job ask for a token for `{own_issuer}`, and leave `--audience` out");
    let shared = OTHERS_AUDIENCES.contains(&rule.audience.as_str())
        || REGISTRIES_AUDIENCES.iter().any(|registry| rule.audience.starts_with(registry))
        || (rule.preset == Preset::Github && rule.audience.starts_with("https://github.com/"));
    if rule.audience.is_empty() {
        found.refuse(
            "audience-missing",
            "no audience: any token of that issuer would do, whoever it was for",
            hint,
        );
    } else if shared {
        let told = format!(
            "`{}` is what jobs send to others: each of them could pass the token on to us",
            rule.audience
        );
        found.refuse("audience-shared", told, hint);
    } else if rule.audience != own_issuer {
        let told = format!("whoever else takes tokens for `{}` could pass them on to us", rule.audience);
        found.warn("audience-not-ours", told, hint);
    }
}

fn issuer(rule: &Rule, found: &mut Found) {
    if let Some(only) = rule.preset.issuer()
        && rule.issuer != only
    {
        let told = format!("the issuer of {} is `{only}`, and not `{}`", rule.preset, rule.issuer);
        match rule.preset {
            // An enterprise's own path below the same host, or a server of its own.
            Preset::Github => found.warn(
                "issuer-unusual",
                told,
                "it is right for a GitHub Enterprise with an issuer of its own, and for nobody else",
            ),
            _ => found.refuse("issuer-other", told, "leave `--issuer` out"),
        }
    }
}

fn pinned(rule: &Rule, found: &mut Found) {
    let facts = rule.preset.facts();
    if rule.conditions.is_empty() {
        found.refuse(
            "no-condition",
            "no condition: every job, pod and account of that issuer would be let in",
            example(rule.preset),
        );
        return;
    }
    if rule.pins_any(facts.anchors) {
        return;
    }
    let named: Vec<&str> = facts.names.iter().copied().filter(|name| rule.on(name).is_some()).collect();
    let by_subject = rule.on("sub").is_some();
    if facts.shared && rule.preset != Preset::Oidc {
        let told = match (named.first(), by_subject) {
            (Some(name), _) => format!(
                "`{name}` is a name, and names change hands: whoever registers it after its owner has left is let in"
            ),
            (None, true) => {
                "`sub` is made of names, and names change hands: whoever registers them after their owner \
                             has left is let in"
                    .to_owned()
            }
            (None, false) => {
                "nothing says whose it is, and strangers have tokens from the same issuer".to_owned()
            }
        };
        found.refuse("owner-not-pinned", told, example(rule.preset));
    } else if rule.preset == Preset::Oidc {
        found.refuse(
            "subject-not-pinned",
            "`sub` is not pinned: it alone is the issuer's word for who somebody is",
            "add `--when sub=...`, in full",
        );
    } else if facts.narrowing.iter().all(|claim| rule.on(claim).is_none()) {
        found.warn(
            "anybody-there",
            "every job, pod and account of that issuer with these claims is let in, whichever it is",
            example(rule.preset),
        );
    }
}

impl Preset {
    /// A condition that pins whose it is, as it is typed.
    pub fn example_condition(self) -> &'static str {
        match self {
            Preset::Github => "--when repository_id=NUMBER --when environment=NAME",
            Preset::Gitlab => {
                "--when project_id=NUMBER --when ref_path=refs/heads/main --when ref_protected=true"
            }
            Preset::Buildkite => "--when pipeline_id=UUID",
            Preset::Circleci => "--when oidc.circleci.com/project-id=UUID",
            Preset::Bitbucket => "--when repositoryUuid={UUID}",
            Preset::Kubernetes => "--when sub=system:serviceaccount:NAMESPACE:NAME",
            Preset::Gcp => "--when sub=NUMBER",
            Preset::Azure => "--when oid=UUID",
            Preset::Spiffe => "--when sub=spiffe://DOMAIN/PATH",
            Preset::Oidc => "--when sub=SUBJECT",
        }
    }
}

/// What a condition that pins the owner looks like, and where what goes into it is to be found.
fn example(preset: Preset) -> &'static str {
    match preset {
        Preset::Github => "add `--when repository_id=NUMBER`; `gh api repos/OWNER/NAME --jq .id` prints it",
        Preset::Gitlab => "add `--when project_id=NUMBER`; it stands on the project's page",
        Preset::Buildkite => {
            "add `--when pipeline_id=UUID`, and let the job ask for that claim: `buildkite-agent oidc request-token \
             --claim pipeline_id`"
        }
        Preset::Circleci => {
            "add `--when oidc.circleci.com/project-id=UUID`; it stands in the project's settings"
        }
        Preset::Bitbucket => {
            "add `--when repositoryUuid={UUID}`; it stands in the repository's OpenID Connect settings"
        }
        Preset::Kubernetes => "add `--when sub=system:serviceaccount:NAMESPACE:NAME`",
        Preset::Gcp => {
            "add `--when sub=NUMBER`; `gcloud iam service-accounts describe ACCOUNT` prints it as uniqueId"
        }
        Preset::Azure => "add `--when oid=UUID`: the object id of the identity",
        Preset::Spiffe => "add `--when sub=spiffe://DOMAIN/PATH`, in full",
        Preset::Oidc => "add `--when sub=...`, in full",
    }
}

fn one(rule: &Rule, condition: &Condition, found: &mut Found) {
    let claim = condition.claim.as_str();
    if !rule.preset.has(claim) {
        let told =
            format!("tokens of {} are not known to have `{claim}`: what is absent never holds", rule.preset);
        let hint = match nearest(claim, rule.preset.claims()) {
            Some(meant) => {
                format!("did you mean `{meant}`? `trust test --token FILE` shows what a token has")
            }
            None => "`trust test --token FILE` shows what a token has".to_owned(),
        };
        found.warn("claim-unknown", told, hint);
    }
    if condition.pattern.is_anything() {
        let told = format!("`{condition}` says only that the claim is there");
        found.warn("any-value", told, "say what it must be, or leave it out");
    }
    if matches!(claim, "iss" | "aud") {
        let told = format!("`{claim}` is said already, and once is enough");
        found.warn("said-twice", told, "use `--issuer` and `--audience`");
    }
}

fn github(rule: &Rule, found: &mut Found) {
    let ends = |end: &str| rule.on("sub").is_some_and(|condition| condition.pattern.as_str().ends_with(end));
    let event = rule.on("event_name").map(|condition| condition.pattern.as_str());
    if event == Some("pull_request_target") {
        found.refuse(
            "pull-request-target",
            "`pull_request_target` runs at a stranger's request with this repository's rights",
            "let a job of the default branch do it: `--when ref=refs/heads/main`",
        );
    } else if event == Some("pull_request") || ends(":pull_request") {
        found.warn(
            "pull-request",
            "whoever can push a branch to the repository is let in before anybody has looked at the change",
            "give such a trust scopes that only read",
        );
    }
    let called = rule.on("job_workflow_ref");
    let narrowed_by_subject = rule
        .on("sub")
        .is_some_and(|c| [":ref:", ":environment:"].iter().any(|part| c.pattern.as_str().contains(part)));
    if called.is_some() && !rule.pins_any(&["repository_id", "repository_owner_id"]) {
        let told = "`job_workflow_ref` says which reusable workflow runs, and not who called it: every repository that \
                    may call it is let in";
        found.refuse("reusable-workflow", told, example(Preset::Github));
    } else if called.is_none()
        && !narrowed_by_subject
        && rule.on("ref").is_none()
        && rule.on("environment").is_none()
        && event.is_none()
    {
        found.warn(
            "any-branch",
            "jobs of every branch and tag are let in, and of every pull request from a branch of the repository",
            "add `--when environment=NAME`, whose rules GitHub keeps, or `--when ref=refs/heads/main`",
        );
    }
    if let Some(called) = called
        && !called.pattern.as_str().contains('@')
    {
        found.warn(
            "reusable-workflow-ref",
            "`job_workflow_ref` ends in `@` and the version that runs: without it the condition never holds",
            "write it in full: `OWNER/NAME/.github/workflows/FILE@refs/tags/v1`",
        );
    }
    if let Some(subject) = rule.on("sub")
        && !subject.pattern.is_exact()
        && subject.pattern.as_str().split(':').nth(1).is_some_and(|repository| repository.contains('*'))
        && !rule.pins("repository_id")
    {
        found.warn(
            "subject-wildcard",
            "the star stands for a repository's name: whoever may make a repository there is let in",
            example(Preset::Github),
        );
    }
}

fn gitlab(rule: &Rule, found: &mut Found) {
    if rule.on("ref").is_some() && rule.on("ref_type").is_none() && rule.on("ref_path").is_none() {
        found.refuse(
            "ref-without-type",
            "`ref` is a bare name: a tag of the branch's name, which more people may push, is let in as well",
            "add `--when ref_type=branch`, or use `ref_path=refs/heads/main`",
        );
    }
    let narrowed = ["ref", "ref_path", "environment", "sub"].iter().any(|claim| rule.on(claim).is_some());
    if !narrowed {
        found.warn(
            "any-branch",
            "jobs of every branch, tag and merge request are let in",
            "add `--when ref_path=refs/heads/main` and `--when ref_protected=true`",
        );
    } else if rule.on("ref_protected").is_none() && rule.on("environment_protected").is_none() {
        found.warn(
            "ref-unprotected",
            "whoever may push to an unprotected branch of that name is let in",
            "add `--when ref_protected=true`",
        );
    }
}

fn buildkite(rule: &Rule, found: &mut Found) {
    if rule.on("build_branch").is_some() && rule.on("build_source").is_none() {
        found.warn(
            "branch-of-a-fork",
            "`build_branch` is what the build says: where pull requests from forks are built, theirs may have that name",
            "switch off builds of forks in the pipeline's settings",
        );
    }
}

fn kubernetes(rule: &Rule, found: &mut Found) {
    let Some(subject) = rule.on("sub") else { return };
    let text = subject.pattern.as_str();
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() != 4 || parts[..2] != ["system", "serviceaccount"] {
        found.refuse(
            "subject-form",
            format!("`{text}` is no subject of a service account's token: it would never hold"),
            "write `system:serviceaccount:NAMESPACE:NAME`",
        );
    } else if parts[2].contains('*') {
        found.refuse(
            "subject-wildcard",
            "the star stands for a namespace: whoever may make one is let in",
            "name the namespace",
        );
    } else if parts[3] == "default" || parts[3].contains('*') {
        found.warn(
            "service-account-shared",
            "every pod of the namespace that names no account of its own is let in",
            "give the workload a service account of its own, and name that",
        );
    }
}

fn spiffe(rule: &Rule, found: &mut Found) {
    let Some(subject) = rule.on("sub") else { return };
    if !subject.pattern.as_str().starts_with(&format!("{}/", rule.issuer)) {
        let told = format!(
            "`{}` is not in the trust domain `{}`: it would never hold",
            subject.pattern, rule.issuer
        );
        found.refuse("other-trust-domain", told, "write the SPIFFE id in full");
    }
}
