//! Build systems whose agents stay when a job is over, and go on to the next one's.

use std::ffi::OsStr;
use std::path::Path;

use crate::env::{self, Variable};

/// The build system whose agent runs us and stays: by what it sets for a job, or by whose home this is.
pub(super) fn find(home: Option<&Path>, user: Option<&str>) -> Option<&'static str> {
    of_job(&Variable::text).or_else(|| AGENTS.iter().find(|one| one.is(home, user)).map(|one| one.name))
}

/// By what is set for a job. What people set for themselves, to speak to a server of theirs (`JENKINS_URL`) or to see a
/// tool's output as there (`TEAMCITY_VERSION`), is a job's only together with the number of one.
fn of_job(value: &dyn Fn(Variable) -> Option<String>) -> Option<&'static str> {
    let set = |variable| value(variable).is_some_and(|text| !text.is_empty() && text != "false");
    let hosted = value(env::RUNNER_ENVIRONMENT).is_some_and(|runner| runner == "github-hosted")
        || value(env::AGENT_NAME)
            .is_some_and(|name| name.starts_with("Azure Pipelines") || name == "Hosted Agent");
    let jobs: [(&[Variable], &str); 10] = [
        (&[env::JENKINS_URL, env::BUILD_NUMBER], "Jenkins"),
        (&[env::GITLAB_CI], "GitLab"),
        (&[env::BUILDKITE], "Buildkite"),
        (&[env::GITHUB_ACTIONS], "GitHub Actions"),
        (&[env::TEAMCITY_VERSION, env::BUILD_NUMBER], "TeamCity"),
        (&[env::TF_BUILD], "Azure Pipelines"),
        (&[env::bamboo_buildKey], "Bamboo"),
        (&[env::GO_PIPELINE_NAME], "GoCD"),
        (&[env::DRONE], "Drone"),
        (&[env::BITBUCKET_BUILD_NUMBER], "Bitbucket Pipelines"),
    ];
    let found = jobs.into_iter().find(|(variables, _)| variables.iter().all(|variable| set(*variable)));
    found.map(|(_, name)| name).filter(|_| !hosted)
}

/// A build system, and how its agents are set up where nobody says otherwise.
struct Agent {
    name: &'static str,
    user: &'static str,
    /// A part of the path of its home.
    home: &'static str,
}

const AGENTS: [Agent; 7] = [
    Agent { name: "Jenkins", user: "jenkins", home: "jenkins" },
    Agent { name: "GitLab", user: "gitlab-runner", home: "gitlab-runner" },
    Agent { name: "Buildkite", user: "buildkite-agent", home: "buildkite-agent" },
    Agent { name: "GitHub Actions", user: "actions-runner", home: "actions-runner" },
    Agent { name: "TeamCity", user: "teamcity", home: "teamcity-agent" },
    Agent { name: "Azure Pipelines", user: "azp", home: "azp" },
    Agent { name: "Forgejo", user: "forgejo-runner", home: "forgejo-runner" },
];

impl Agent {
    fn is(&self, home: Option<&Path>, user: Option<&str>) -> bool {
        let in_path = |home: &Path| home.components().any(|part| part.as_os_str() == OsStr::new(self.home));
        user == Some(self.user) || home.is_some_and(in_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_known_by_its_user_or_its_home() {
        for (home, user, known) in [
            ("/var/lib/jenkins", "ci", true),
            ("/home/gitlab-runner", "x", true),
            ("/home/ada/jenkins-notes", "ada", false),
            ("/srv/x", "buildkite-agent", true),
        ] {
            let found = AGENTS.iter().any(|agent| agent.is(Some(Path::new(home)), Some(user)));
            assert_eq!(found, known, "{home} {user}");
        }
    }

    /// What an environment says.
    type Environment<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn a_job_sets_what_a_person_does_not() {
        let table: [(Environment<'_>, Option<&str>); 12] = [
            (&[], None),
            (&[("JENKINS_URL", "https://ci.example")], None), // for jenkins-cli
            (&[("JENKINS_URL", "https://ci.example"), ("BUILD_NUMBER", "7")], Some("Jenkins")),
            (&[("TEAMCITY_VERSION", "2024.1")], None), // for a test runner's output
            (&[("TEAMCITY_VERSION", "2024.1"), ("BUILD_NUMBER", "7")], Some("TeamCity")),
            (&[("GITLAB_CI", "false")], None), // a job tried out at home
            (&[("GITLAB_CI", "true")], Some("GitLab")),
            (&[("GITHUB_ACTIONS", "true"), ("RUNNER_ENVIRONMENT", "self-hosted")], Some("GitHub Actions")),
            (&[("GITHUB_ACTIONS", "true"), ("RUNNER_ENVIRONMENT", "github-hosted")], None),
            (&[("TF_BUILD", "True"), ("AGENT_NAME", "Azure Pipelines 4")], None),
            (&[("DRONE", "true")], Some("Drone")),
            (&[("BUILD_NUMBER", "7")], None),
        ];
        for (environment, known) in table {
            let value = |variable: Variable| {
                let found = environment.iter().find(|(name, _)| *name == variable.name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(of_job(&value), known, "{environment:?}");
        }
    }
}
