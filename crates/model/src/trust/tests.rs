use serde_json::json;

use super::*;

const OWN: &str = "https://id.example/acme";

fn rule(preset: Preset, issuer: &str, when: &[&str]) -> Rule {
    let conditions = when.iter().map(|text| text.parse().unwrap()).collect();
    Rule { preset, issuer: issuer.to_owned(), audience: OWN.to_owned(), conditions }
}

fn github(when: &[&str]) -> Rule {
    rule(Preset::Github, Preset::Github.issuer().unwrap(), when)
}

/// As GitHub's documentation shows one ("Understanding the OIDC token"), with an audience of ours.
fn github_claims() -> Value {
    json!({
        "jti": "example-id", "sub": "repo:octo-org/octo-repo:environment:prod", "environment": "prod",
        "aud": OWN, "ref": "refs/heads/main", "sha": "example-sha", "repository": "octo-org/octo-repo",
        "repository_owner": "octo-org", "actor_id": "12", "repository_visibility": "private",
        "repository_id": "74", "repository_owner_id": "65", "run_id": "example-run-id", "run_number": "10",
        "run_attempt": "2", "runner_environment": "github-hosted", "actor": "octocat",
        "workflow": "example-workflow", "head_ref": "", "base_ref": "", "event_name": "workflow_dispatch",
        "ref_type": "branch", "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
        "iss": "https://token.actions.githubusercontent.com", "nbf": 1632492967, "exp": 1632493867, "iat": 1632493567
    })
}

#[test]
fn all_of_a_rule_must_hold_and_each_line_says_what_was_wanted_and_found() {
    let rule = github(&["repository_id=74", "ref=refs/heads/release-*"]);
    let weighed = rule.weigh(&github_claims());
    assert!(!weighed.holds());
    let said: Vec<(&str, Option<&str>, bool)> =
        weighed.lines.iter().map(|line| (line.claim.as_str(), line.found.as_deref(), line.holds)).collect();
    assert_eq!(
        said,
        [
            ("iss", Some("https://token.actions.githubusercontent.com"), true),
            ("aud", Some(OWN), true),
            ("repository_id", Some("74"), true),
            ("ref", Some("refs/heads/main"), false),
        ]
    );
    assert!(github(&["repository_id=74", "environment=prod"]).weigh(&github_claims()).holds());
}

#[test]
fn an_absent_claim_never_holds_whatever_the_pattern() {
    let mut claims = github_claims();
    claims.as_object_mut().unwrap().remove("environment");
    assert!(!github(&["repository_id=74", "environment=*"]).weigh(&claims).holds());
    claims["environment"] = Value::Null;
    assert!(!github(&["repository_id=74", "environment=*"]).weigh(&claims).holds());
    claims["environment"] = json!({ "name": "prod" });
    assert!(!github(&["repository_id=74", "environment=*"]).weigh(&claims).holds());
}

#[test]
fn issuer_and_audience_are_compared_byte_for_byte() {
    let rule = github(&["repository_id=74"]);
    for (claim, value) in [
        ("iss", json!("https://token.actions.githubusercontent.com/")),
        ("iss", json!("https://token.actions.githubusercontent.com.evil.example")),
        ("iss", json!(["https://token.actions.githubusercontent.com"])),
        ("iss", Value::Null),
        ("aud", json!("https://id.example/acme/")),
        ("aud", json!("https://id.example")),
        ("aud", Value::Null),
        ("aud", json!({ "0": OWN })),
    ] {
        let mut claims = github_claims();
        claims[claim] = value.clone();
        assert!(!rule.weigh(&claims).holds(), "{claim} {value}");
    }
    let mut claims = github_claims();
    claims["aud"] = json!(["https://other.example", OWN]);
    assert!(rule.weigh(&claims).holds());
}

#[test]
fn numbers_booleans_lists_and_nested_claims_are_compared_as_text() {
    let claims = json!({
        "iss": "https://gitlab.example", "aud": OWN, "project_id": 20, "ref_protected": true,
        "groups_direct": ["mygroup/mysubgroup", "other"],
    });
    let gitlab = |when: &[&str]| rule(Preset::Gitlab, "https://gitlab.example", when).weigh(&claims).holds();
    assert!(gitlab(&["project_id=20", "ref_protected=true", "groups_direct=other"]));
    assert!(!gitlab(&["project_id=2"]));
    assert!(!gitlab(&["ref_protected=false"]));

    let pod = json!({
        "iss": "https://kubernetes.default.svc", "aud": [OWN], "sub": "system:serviceaccount:ci:builder",
        "kubernetes.io": { "namespace": "ci", "serviceaccount": { "name": "builder", "uid": "u-1" } },
    });
    let kubernetes =
        |when: &[&str]| rule(Preset::Kubernetes, "https://kubernetes.default.svc", when).weigh(&pod).holds();
    assert!(kubernetes(&["/kubernetes.io/serviceaccount/uid=u-1", "/kubernetes.io/namespace=ci"]));
    assert!(!kubernetes(&["/kubernetes.io/serviceaccount=u-1"]));
    assert!(!kubernetes(&["kubernetes.io.namespace=ci"]));
}

/// SPIFFE JWT-SVID, section 3: there may be no `iss`; whose keys it was verified with says where it is from.
#[test]
fn a_svid_needs_no_issuer_and_must_be_of_the_trust_domain() {
    let spiffe = rule(Preset::Spiffe, "spiffe://prod.example", &["sub=spiffe://prod.example/ci/deploy"]);
    let svid = |sub: &str| spiffe.weigh(&json!({ "sub": sub, "aud": [OWN] })).holds();
    assert!(svid("spiffe://prod.example/ci/deploy"));
    assert!(!svid("spiffe://prod.example.evil/ci/deploy"));
    assert!(!svid("spiffe://stage.example/ci/deploy"));
}

fn rules(found: &[Finding]) -> Vec<(Gravity, &str)> {
    found.iter().map(|finding| (finding.gravity, finding.rule.as_str())).collect()
}

#[test]
fn a_rule_that_lets_in_what_it_should_and_no_more_has_nothing_wrong_with_it() {
    for good in [
        github(&["repository_id=74", "environment=prod"]),
        github(&["repository_owner_id=65", "repository=octo-org/octo-repo", "ref=refs/heads/main"]),
        github(&[
            "repository_owner_id=65",
            "job_workflow_ref=octo-org/octo-automation/.github/workflows/oidc.yml@refs/tags/v1",
        ]),
        rule(
            Preset::Gitlab,
            "https://gitlab.example",
            &["project_id=20", "ref_path=refs/heads/main", "ref_protected=true"],
        ),
        rule(Preset::Buildkite, "https://agent.buildkite.com", &["pipeline_id=u-1", "step_key=deploy"]),
        rule(
            Preset::Circleci,
            "https://oidc.circleci.com/org/u-1",
            &["oidc.circleci.com/project-id=u-2", "oidc.circleci.com/vcs-ref=refs/heads/main"],
        ),
        rule(
            Preset::Bitbucket,
            "https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc",
            &["repositoryUuid={u-1}", "branchName=main"],
        ),
        rule(Preset::Kubernetes, "https://cluster.example", &["sub=system:serviceaccount:ci:builder"]),
        rule(Preset::Gcp, "https://accounts.google.com", &["sub=110"]),
        rule(Preset::Azure, "https://login.microsoftonline.com/u-1/v2.0", &["oid=u-2"]),
        rule(Preset::Spiffe, "spiffe://prod.example", &["sub=spiffe://prod.example/ci/deploy"]),
        rule(Preset::Oidc, "https://ci.example", &["sub=job-7"]),
    ] {
        assert_eq!(rules(&lint(&good, OWN)), [], "{:?}", good.conditions);
    }
}

#[test]
fn each_trap_has_a_finding_of_its_own() {
    use Gravity::{Refused, Warned};
    let gitlab = |when: &[&str]| rule(Preset::Gitlab, "https://gitlab.example", when);
    let pods = |when: &[&str]| rule(Preset::Kubernetes, "https://cluster.example", when);
    for (rule, wanted) in [
        (github(&[]), (Refused, "no-condition")),
        (github(&["repository=octo-org/octo-repo", "ref=refs/heads/main"]), (Refused, "owner-not-pinned")),
        (github(&["sub=repo:octo-org/octo-repo:environment:prod"]), (Refused, "owner-not-pinned")),
        (github(&["repository_id=7*", "ref=refs/heads/main"]), (Refused, "owner-not-pinned")),
        (github(&["environment=prod"]), (Refused, "owner-not-pinned")),
        (github(&["repository_id=74"]), (Warned, "any-branch")),
        (github(&["repository_id=74", "event_name=pull_request_target"]), (Refused, "pull-request-target")),
        (github(&["repository_id=74", "sub=repo:octo-org/octo-repo:pull_request"]), (Warned, "pull-request")),
        (
            github(&["job_workflow_ref=octo-org/a/.github/workflows/o.yml@refs/tags/v1"]),
            (Refused, "reusable-workflow"),
        ),
        (
            github(&["repository_owner_id=65", "job_workflow_ref=octo-org/a/.github/workflows/o.yml"]),
            (Warned, "reusable-workflow-ref"),
        ),
        (
            github(&["repository_owner_id=65", "sub=repo:octo-org/*:ref:refs/heads/main"]),
            (Warned, "subject-wildcard"),
        ),
        (
            github(&["repository_id=74", "ref=refs/heads/main", "repositry_owner=octo-org"]),
            (Warned, "claim-unknown"),
        ),
        (github(&["repository_id=74", "environment=*"]), (Warned, "any-value")),
        (github(&["repository_id=74", "ref=refs/heads/main", "iss=x"]), (Warned, "said-twice")),
        (gitlab(&["project_path=acme/site", "ref_path=refs/heads/main"]), (Refused, "owner-not-pinned")),
        (gitlab(&["project_id=20", "ref=main", "ref_protected=true"]), (Refused, "ref-without-type")),
        (gitlab(&["project_id=20"]), (Warned, "any-branch")),
        (gitlab(&["project_id=20", "ref_path=refs/heads/main"]), (Warned, "ref-unprotected")),
        (
            rule(Preset::Buildkite, "https://agent.buildkite.com", &["pipeline_id=u-1", "build_branch=main"]),
            (Warned, "branch-of-a-fork"),
        ),
        (
            rule(Preset::Buildkite, "https://agent.example", &["pipeline_id=u-1", "step_key=x"]),
            (Refused, "issuer-other"),
        ),
        (pods(&["sub=system:serviceaccount:ci:default"]), (Warned, "service-account-shared")),
        (pods(&["sub=system:serviceaccount:*:builder"]), (Refused, "subject-wildcard")),
        (pods(&["sub=ci/builder"]), (Refused, "subject-form")),
        (pods(&["/kubernetes.io/node/name=n-1"]), (Warned, "anybody-there")),
        (
            rule(Preset::Spiffe, "spiffe://prod.example", &["sub=spiffe://stage.example/ci"]),
            (Refused, "other-trust-domain"),
        ),
        (rule(Preset::Oidc, "https://ci.example", &["sub=job-*"]), (Refused, "subject-not-pinned")),
        (
            rule(Preset::Gcp, "https://accounts.google.com", &["email=ci@acme.iam.gserviceaccount.com"]),
            (Refused, "owner-not-pinned"),
        ),
    ] {
        let found = lint(&rule, OWN);
        assert!(rules(&found).contains(&wanted), "{:?}: {:?}", rule.conditions, rules(&found));
        assert!(found.is_sorted_by_key(|finding| std::cmp::Reverse(finding.gravity)), "{found:?}");
    }
    let misspelt = lint(&github(&["repository_id=74", "enviroment=prod"]), OWN);
    assert!(misspelt.iter().any(|finding| finding.hint.contains("`environment`")), "{misspelt:?}");
}

#[test]
fn a_token_that_jobs_show_to_others_is_not_for_us() {
    let with = |audience: &str| {
        let rule =
            Rule { audience: audience.to_owned(), ..github(&["repository_id=74", "environment=prod"]) };
        lint(&rule, OWN).first().map(|finding| (finding.gravity, finding.rule.clone()))
    };
    assert_eq!(with(OWN), None);
    assert_eq!(with(""), Some((Gravity::Refused, "audience-missing".to_owned())));
    assert_eq!(with("https://github.com/octo-org"), Some((Gravity::Refused, "audience-shared".to_owned())));
    assert_eq!(with("sts.amazonaws.com"), Some((Gravity::Refused, "audience-shared".to_owned())));
    assert_eq!(with("https://api.example"), Some((Gravity::Warned, "audience-not-ours".to_owned())));
}

#[test]
fn a_condition_is_written_as_claim_and_pattern() {
    let condition: Condition = "oidc.circleci.com/vcs-ref=refs/heads/a=b".parse().unwrap();
    assert_eq!(condition.claim.as_str(), "oidc.circleci.com/vcs-ref");
    assert_eq!(condition.pattern.as_str(), "refs/heads/a=b");
    for bad in ["", "sub", "=x", "sub=", "a b=c", "/=x", "su\u{200b}b=x"] {
        assert!(bad.parse::<Condition>().is_err(), "{bad}");
    }
}
