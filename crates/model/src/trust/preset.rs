//! Issuers whose claims, and whose traps, are known. Data, and the sentences that go with it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of outside issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// GitHub Actions: one issuer for everybody's repositories.
    Github,
    /// GitLab CI, hosted or one's own.
    Gitlab,
    /// Buildkite.
    Buildkite,
    /// CircleCI: an issuer for each organisation.
    Circleci,
    /// Bitbucket Pipelines: an issuer for each workspace.
    Bitbucket,
    /// The service accounts of one Kubernetes cluster.
    Kubernetes,
    /// Google Cloud's service accounts.
    Gcp,
    /// Microsoft Entra ID: managed identities and applications of one tenant.
    Azure,
    /// SPIFFE JWT-SVIDs of one trust domain.
    Spiffe,
    /// Any other OpenID Connect issuer.
    Oidc,
}

/// Text that names no preset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no preset `{0}`; there are {names}", names = Preset::ALL.map(Preset::name).join(", "))]
pub struct UnknownPreset(String);

/// What is known of one.
pub(super) struct Facts {
    name: &'static str,
    /// The issuer, where there is but one.
    issuer: Option<&'static str>,
    /// Whether strangers get tokens from the very same issuer, so that a rule must say whose it means.
    pub(super) shared: bool,
    /// Claims that say whose it is and can never become somebody else's: one must be pinned where `shared`.
    pub(super) anchors: &'static [&'static str],
    /// Claims that say the same by a name, which can be given up and taken by another.
    pub(super) names: &'static [&'static str],
    /// Claims that say which of the owner's jobs: a branch, an environment, a service account.
    pub(super) narrowing: &'static [&'static str],
    /// All others that its tokens are known to have.
    pub(super) others: &'static [&'static str],
}

impl Preset {
    /// All of them.
    pub const ALL: [Preset; 10] = [
        Preset::Github,
        Preset::Gitlab,
        Preset::Buildkite,
        Preset::Circleci,
        Preset::Bitbucket,
        Preset::Kubernetes,
        Preset::Gcp,
        Preset::Azure,
        Preset::Spiffe,
        Preset::Oidc,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Its issuer, where there is but one.
    pub fn issuer(self) -> Option<&'static str> {
        self.facts().issuer
    }

    /// Whether its tokens are known to have this claim. Where nothing is known of them, they may have any.
    pub fn has(self, claim: &str) -> bool {
        let facts = self.facts();
        let lists = [facts.anchors, facts.names, facts.narrowing, facts.others, REGISTERED];
        self == Preset::Oidc || lists.iter().any(|list| list.contains(&claim))
    }

    /// The claims it is known for, to find the one that was meant by a misspelt one.
    pub(super) fn claims(self) -> impl Iterator<Item = &'static str> {
        let facts = self.facts();
        [facts.anchors, facts.names, facts.narrowing, facts.others, REGISTERED].into_iter().flatten().copied()
    }

    pub(super) fn facts(self) -> &'static Facts {
        match self {
            Preset::Github => &GITHUB,
            Preset::Gitlab => &GITLAB,
            Preset::Buildkite => &BUILDKITE,
            Preset::Circleci => &CIRCLECI,
            Preset::Bitbucket => &BITBUCKET,
            Preset::Kubernetes => &KUBERNETES,
            Preset::Gcp => &GCP,
            Preset::Azure => &AZURE,
            Preset::Spiffe => &SPIFFE,
            Preset::Oidc => &OIDC,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;
    fn from_str(text: &str) -> Result<Self, UnknownPreset> {
        let named = Preset::ALL.into_iter().find(|preset| preset.name() == text);
        named.ok_or_else(|| UnknownPreset(text.chars().take(64).collect()))
    }
}

/// RFC 7519, section 4.1.
const REGISTERED: &[&str] = &["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// GitHub's documentation, "OpenID Connect reference". `repository` and `repository_owner` are names: a deleted account's
/// can be registered by anybody, and its subjects are then theirs.
const GITHUB: Facts = Facts {
    name: "github",
    issuer: Some("https://token.actions.githubusercontent.com"),
    shared: true,
    anchors: &["repository_owner_id", "repository_id", "enterprise_id"],
    names: &["repository_owner", "repository", "enterprise"],
    narrowing: &["ref", "environment", "environment_node_id"],
    others: &[
        "actor",
        "actor_id",
        "base_ref",
        "event_name",
        "head_ref",
        "job_workflow_ref",
        "job_workflow_sha",
        "ref_protected",
        "ref_type",
        "repository_visibility",
        "run_id",
        "run_number",
        "run_attempt",
        "runner_environment",
        "sha",
        "workflow",
        "workflow_ref",
        "workflow_sha",
        "issuer_scope",
        "check_run_id",
    ],
};

/// GitLab's documentation, "OpenID Connect (OIDC) Authentication Using ID Tokens". `ref` is a bare name there: `main` is
/// a branch or a tag, as `ref_type` says.
const GITLAB: Facts = Facts {
    name: "gitlab",
    issuer: None,
    shared: true,
    anchors: &["project_id", "namespace_id"],
    names: &["project_path", "namespace_path"],
    narrowing: &["ref", "ref_path", "environment"],
    others: &[
        "ref_type",
        "ref_protected",
        "environment_protected",
        "environment_action",
        "deployment_tier",
        "user_id",
        "user_login",
        "user_email",
        "user_access_level",
        "user_identities",
        "groups_direct",
        "pipeline_id",
        "pipeline_source",
        "job_id",
        "job_namespace_id",
        "job_namespace_path",
        "job_project_id",
        "job_project_path",
        "runner_id",
        "runner_environment",
        "sha",
        "project_visibility",
        "ci_config_ref_uri",
        "ci_config_sha",
    ],
};

/// Buildkite's documentation, "buildkite-agent oidc". The ids are optional claims, asked for by `--claim`.
const BUILDKITE: Facts = Facts {
    name: "buildkite",
    issuer: Some("https://agent.buildkite.com"),
    shared: true,
    anchors: &["organization_id", "pipeline_id", "cluster_id"],
    names: &["organization_slug", "pipeline_slug"],
    narrowing: &["build_branch", "build_tag", "step_key", "queue_id", "queue_key"],
    others: &[
        "build_number",
        "build_commit",
        "build_source",
        "job_id",
        "agent_id",
        "runner_environment",
        "cluster_name",
    ],
};

/// CircleCI's documentation, "OpenID Connect tokens with custom claims". The issuer names the organisation's id.
const CIRCLECI: Facts = Facts {
    name: "circleci",
    issuer: None,
    shared: false,
    anchors: &["oidc.circleci.com/project-id"],
    names: &[],
    narrowing: &["oidc.circleci.com/context-ids", "oidc.circleci.com/vcs-ref"],
    others: &[
        "oidc.circleci.com/vcs-origin",
        "oidc.circleci.com/job-id",
        "oidc.circleci.com/pipeline-id",
        "oidc.circleci.com/workflow-id",
        "oidc.circleci.com/org-id",
        "oidc.circleci.com/ssh-rerun",
    ],
};

/// Atlassian's documentation, "Integrate Pipelines with resource servers using OIDC". The issuer names the workspace.
const BITBUCKET: Facts = Facts {
    name: "bitbucket",
    issuer: None,
    shared: false,
    anchors: &["repositoryUuid", "workspaceUuid"],
    names: &[],
    narrowing: &["deploymentEnvironmentUuid", "branchName"],
    others: &["stepUuid", "pipelineUuid", "pipelineRunUuid"],
};

/// Kubernetes' documentation, "Managing Service Accounts": bound tokens.
const KUBERNETES: Facts = Facts {
    name: "kubernetes",
    issuer: None,
    shared: false,
    anchors: &["/kubernetes.io/serviceaccount/uid"],
    names: &[],
    narrowing: &["sub", "/kubernetes.io/serviceaccount/name", "/kubernetes.io/namespace"],
    others: &[
        "/kubernetes.io/pod/name",
        "/kubernetes.io/pod/uid",
        "/kubernetes.io/node/name",
        "/kubernetes.io/node/uid",
    ],
};

/// Google's documentation, "Get an ID token": `sub` is the account's number, `email` its name.
const GCP: Facts = Facts {
    name: "gcp",
    issuer: Some("https://accounts.google.com"),
    shared: true,
    anchors: &["sub", "/google/compute_engine/instance_id"],
    names: &["email", "/google/compute_engine/project_id"],
    narrowing: &[],
    others: &[
        "azp",
        "email_verified",
        "/google/compute_engine/project_number",
        "/google/compute_engine/instance_name",
        "/google/compute_engine/zone",
    ],
};

/// Microsoft's documentation, "Access token claims reference". The issuer names the tenant.
const AZURE: Facts = Facts {
    name: "azure",
    issuer: None,
    shared: false,
    anchors: &["oid", "sub"],
    names: &[],
    narrowing: &["azp", "appid", "xms_mirid"],
    others: &["tid", "idp", "idtyp", "roles", "ver", "azpacr", "appidacr"],
};

/// SPIFFE JWT-SVID, section 3: `sub` is the SPIFFE id.
const SPIFFE: Facts = Facts {
    name: "spiffe",
    issuer: None,
    shared: false,
    anchors: &["sub"],
    names: &[],
    narrowing: &[],
    others: &[],
};

const OIDC: Facts = Facts {
    name: "oidc",
    issuer: None,
    shared: true,
    anchors: &["sub"],
    names: &[],
    narrowing: &[],
    others: &[],
};
