//! Whether this machine, or this user on it, is one person's alone.
//!
//! Where others are the same user to the system, no file mode and no check of a peer keeps them out: whatever a sign-in
//! leaves here is theirs as well. So it is said aloud, and nothing is kept unless the person says where.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use hallpass_holder::Surroundings;
use hallpass_model::device::DeviceClass;

use crate::env;
use crate::failure::Failure;

/// The audit id of a process that nobody logged in for (`loginuid` of proc(5)).
const NOBODY_LOGGED_IN: u32 = u32::MAX;
/// Where systemd writes down who is logged in, one file a session, and others an array of records (utmp(5)).
const SESSIONS: &str = "/run/systemd/sessions";
const UTMP: &str = "/run/utmp";
/// A file of those at most, in bytes: some thousands of logins.
const FILE_LEN_MAX: u64 = 4 * 1024 * 1024;
/// People on one machine, over SSH, from which on it is taken for one that they pass through. Two may share a desk.
const PEOPLE_PASSING: usize = 3;

/// Why this machine is not one person's alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shared {
    /// What to call it.
    pub(crate) class: DeviceClass,
    /// How that is known, to be shown after a colon.
    pub(crate) why: String,
}

/// What is known of the machine and of who is on it.
#[derive(Debug, Clone, Default)]
struct Facts {
    uid: u32,
    /// The name of this user, if it has one.
    user: Option<String>,
    /// The user who became this one (`SUDO_USER`).
    sudo_user: Option<String>,
    /// The user who logged in, whoever they have become since.
    login_uid: Option<u32>,
    /// Other users with this number, or this home.
    same_uid: Option<String>,
    same_home: Option<String>,
    /// Who owns the home.
    home_owner: Option<u32>,
    /// From where this very user is logged in, and how many users are.
    logins: Logins,
    /// The build system whose job this is, if its agent stays when the job is over.
    agent: Option<&'static str>,
    container: bool,
    ssh: bool,
    desktop: bool,
}

/// Who is logged in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Logins {
    /// The machines this user is logged in from.
    from: BTreeSet<String>,
    /// The users who are logged in from other machines.
    users: BTreeSet<String>,
}

/// Whether this machine is shared: as the person says (`HALLPASS_HOST`), or as is found.
pub(crate) fn shared(at: &Surroundings) -> Result<Option<Shared>, Failure> {
    let said = |class| Some(Shared { class, why: "HALLPASS_HOST says so".into() });
    match env::HALLPASS_HOST.text().as_deref() {
        None => Ok(judge(&facts(at))),
        Some("own") => Ok(None),
        Some("shared") => Ok(said(DeviceClass::SharedHost)),
        Some("build-agent") => Ok(said(DeviceClass::BuildAgent)),
        Some(other) => Err(Failure::usage(format_args!(
            "HALLPASS_HOST is `{other}`: it is `own`, `shared` or `build-agent`"
        ))),
    }
}

fn judge(facts: &Facts) -> Option<Shared> {
    let shared = |why: String| Some(Shared { class: DeviceClass::SharedHost, why });
    if let Some(agent) = facts.agent {
        let why = format!("a job of {agent}, whose agent stays when the job is over");
        return Some(Shared { class: DeviceClass::BuildAgent, why });
    }
    if let Some(sudo_user) = facts.sudo_user.as_ref().filter(|name| facts.user.as_ref() != Some(name)) {
        return shared(format!("`{sudo_user}` became this user, as others may"));
    }
    // A container has a root of its own, and is gone when its task ends.
    if facts.uid == 0 && !facts.container {
        return shared("you are root, as is everybody who may become root".into());
    }
    if facts.login_uid.is_some_and(|login| login != NOBODY_LOGGED_IN && login != facts.uid) {
        return shared("you logged in as another user and became this one, as others may".into());
    }
    if let Some(other) = &facts.same_uid {
        return shared(format!("`{other}` is the same user to the system"));
    }
    if let Some(other) = &facts.same_home {
        return shared(format!("`{other}` has the same home folder"));
    }
    if facts.home_owner.is_some_and(|owner| owner != facts.uid) {
        return shared("the home folder belongs to another user".into());
    }
    if facts.logins.from.len() > 1 {
        let from: Vec<_> = facts.logins.from.iter().map(String::as_str).collect();
        return shared(format!("this user is logged in from several machines at once ({})", from.join(", ")));
    }
    if facts.ssh && !facts.desktop && facts.logins.users.len() >= PEOPLE_PASSING {
        return shared(format!("{} users are logged in to it over the network", facts.logins.users.len()));
    }
    None
}

fn facts(at: &Surroundings) -> Facts {
    let uid = rustix::process::geteuid().as_raw();
    let passwd = text(Path::new("/etc/passwd"));
    let (user, same_uid, same_home) = in_passwd(&passwd, uid);
    let home = env::HOME.path();
    Facts {
        uid,
        sudo_user: env::SUDO_USER.text(),
        login_uid: text(Path::new("/proc/self/loginuid")).trim().parse().ok(),
        home_owner: home.as_deref().and_then(owner),
        logins: logins(Path::new(SESSIONS), Path::new(UTMP), uid, user.as_deref()),
        agent: agent(home.as_deref(), user.as_deref()).filter(|_| !at.container),
        container: at.container,
        ssh: at.ssh,
        desktop: at.desktop,
        user,
        same_uid,
        same_home,
    }
}

fn owner(home: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(home).ok().map(|found| found.uid())
}

/// The name of this user, another of the same number, and another of the same home (passwd(5)).
fn in_passwd(passwd: &str, uid: u32) -> (Option<String>, Option<String>, Option<String>) {
    let each = || {
        passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, number, home) = (fields.next()?, fields.nth(1)?.parse::<u32>().ok()?, fields.nth(2)?);
            Some((name, number, home))
        })
    };
    let own = each().find(|(_, number, _)| *number == uid);
    let named = |found: Option<(&str, u32, &str)>| found.map(|(name, ..)| name.to_owned());
    let same_uid = each().find(|(name, number, _)| *number == uid && own.is_some_and(|own| own.0 != *name));
    // Users of the system's own have no home to speak of.
    let same_home = own.filter(|own| own.2.starts_with("/home/")).and_then(|own| {
        each().find(|(_, number, home)| {
            *number != uid && home.trim_end_matches('/') == own.2.trim_end_matches('/')
        })
    });
    (named(own), named(same_uid), named(same_home))
}

/// Who is logged in, as systemd has it, or as the older record has it.
fn logins(sessions: &Path, utmp: &Path, uid: u32, user: Option<&str>) -> Logins {
    let mut logins = Logins::default();
    let mut note = |own: bool, user: &str, host: &str| {
        if !host.is_empty() {
            logins.users.insert(user.to_owned());
            if own {
                logins.from.insert(hallpass_model::purpose::plain(host, 64));
            }
        }
    };
    let mut any = false;
    for entry in std::fs::read_dir(sessions).into_iter().flatten().flatten() {
        let session = text(&entry.path());
        let of = |key: &str| session.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let (Some(number), Some("active" | "online")) = (of("UID"), of("STATE")) else { continue };
        any = true;
        note(number == uid.to_string(), number, of("REMOTE_HOST").unwrap_or_default());
    }
    if !any {
        let (bytes, user) = (bytes(utmp), user.unwrap_or_default());
        for record in bytes.chunks_exact(UTMP_LEN).filter(|record| record[..2] == USER_PROCESS) {
            let name = until_zero(&record[44..76]);
            note(name == user, &name, &until_zero(&record[76..332]));
        }
    }
    logins
}

/// A record of utmp(5) as x86-64 has it, and the type of one of a login. On other machines systemd's word must do: a record
/// of another length shows no login there.
const UTMP_LEN: usize = 384;
const USER_PROCESS: [u8; 2] = 7i16.to_ne_bytes();

fn until_zero(field: &[u8]) -> String {
    String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// The build system whose agent runs us and stays: by what it sets for a job, or by whose home this is.
fn agent(home: Option<&Path>, user: Option<&str>) -> Option<&'static str> {
    let hosted = env::RUNNER_ENVIRONMENT.text().is_some_and(|runner| runner == "github-hosted")
        || env::AGENT_NAME
            .text()
            .is_some_and(|name| name.starts_with("Azure Pipelines") || name == "Hosted Agent");
    let by_variable = [
        (env::JENKINS_URL, "Jenkins"),
        (env::GITLAB_CI, "GitLab"),
        (env::BUILDKITE, "Buildkite"),
        (env::GITHUB_ACTIONS, "GitHub Actions"),
        (env::TEAMCITY_VERSION, "TeamCity"),
        (env::TF_BUILD, "Azure Pipelines"),
        (env::bamboo_buildKey, "Bamboo"),
        (env::GO_PIPELINE_NAME, "GoCD"),
    ];
    let set = by_variable.into_iter().find(|(variable, _)| variable.is_set()).map(|(_, name)| name);
    if hosted {
        return None;
    }
    set.or_else(|| AGENTS.iter().find(|one| one.is(home, user)).map(|one| one.name))
}

/// A build system, and how its agents are set up where nobody says otherwise.
struct Agent {
    name: &'static str,
    user: &'static str,
    /// A part of the path of its home.
    home: &'static str,
}

const AGENTS: [Agent; 6] = [
    Agent { name: "Jenkins", user: "jenkins", home: "jenkins" },
    Agent { name: "GitLab", user: "gitlab-runner", home: "gitlab-runner" },
    Agent { name: "Buildkite", user: "buildkite-agent", home: "buildkite-agent" },
    Agent { name: "GitHub Actions", user: "actions-runner", home: "actions-runner" },
    Agent { name: "TeamCity", user: "teamcity", home: "teamcity-agent" },
    Agent { name: "Azure Pipelines", user: "azp", home: "azp" },
];

impl Agent {
    fn is(&self, home: Option<&Path>, user: Option<&str>) -> bool {
        let in_path = |home: &Path| home.components().any(|part| part.as_os_str() == OsStr::new(self.home));
        user == Some(self.user) || home.is_some_and(in_path)
    }
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&bytes(path)).into_owned()
}

fn bytes(path: &Path) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(FILE_LEN_MAX).read_to_end(&mut bytes); // what was read counts
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_person_s_and_what_is_not() {
        let own = Facts { uid: 1000, user: Some("ada".into()), login_uid: Some(1000), ..Facts::default() };
        let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
        let from = |hosts: &[&str]| Logins { from: of(hosts), users: of(&["1000"]) };
        let passing = Logins { from: of(&["a"]), users: of(&["1000", "1001", "1002"]) };
        let table = [
            (own.clone(), None),
            (Facts { login_uid: Some(NOBODY_LOGGED_IN), ..own.clone() }, None),
            (Facts { sudo_user: Some("ada".into()), ..own.clone() }, None),
            (Facts { uid: 0, container: true, login_uid: None, ..own.clone() }, None),
            (Facts { home_owner: Some(1000), logins: from(&["10.0.0.1"]), ..own.clone() }, None),
            (Facts { logins: passing.clone(), ..own.clone() }, None),
            (Facts { logins: passing.clone(), ssh: true, desktop: true, ..own.clone() }, None),
            (Facts { agent: Some("Jenkins"), ..own.clone() }, Some("job of Jenkins")),
            (Facts { uid: 0, login_uid: None, ..own.clone() }, Some("root")),
            (Facts { uid: 0, sudo_user: Some("bob".into()), ..own.clone() }, Some("`bob` became")),
            (Facts { sudo_user: Some("bob".into()), ..own.clone() }, Some("`bob` became")),
            (Facts { login_uid: Some(1001), ..own.clone() }, Some("became this one")),
            (Facts { same_uid: Some("deploy".into()), ..own.clone() }, Some("`deploy` is the same user")),
            (Facts { same_home: Some("deploy".into()), ..own.clone() }, Some("same home")),
            (Facts { home_owner: Some(0), ..own.clone() }, Some("belongs to another")),
            (Facts { logins: from(&["10.0.0.1", "10.0.0.2"]), ..own.clone() }, Some("several machines")),
            (Facts { logins: passing, ssh: true, ..own }, Some("3 users")),
        ];
        for (facts, why) in table {
            let judged = judge(&facts);
            assert_eq!(judged.is_some(), why.is_some(), "{facts:?}: {judged:?}");
            if let (Some(judged), Some(why)) = (judged, why) {
                assert!(judged.why.contains(why), "{judged:?}");
                let class =
                    if facts.agent.is_some() { DeviceClass::BuildAgent } else { DeviceClass::SharedHost };
                assert_eq!(judged.class, class);
            }
        }
    }

    #[test]
    fn another_name_for_the_same_user_or_home_is_found() {
        let passwd = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n\
                      deploy:x:1000:1000::/srv:/bin/sh\nbob:x:1001:1001::/home/ada/:/bin/sh\nbroken\n";
        let named = |text: &str| Some(text.to_owned());
        assert_eq!(in_passwd(passwd, 1000), (named("ada"), named("deploy"), named("bob")));
        assert_eq!(in_passwd(passwd, 0), (named("root"), None, None));
        assert_eq!(in_passwd(passwd, 7), (None, None, None));
    }

    #[test]
    fn who_is_logged_in_is_read_from_either_record() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = folder.path().join("sessions");
        std::fs::create_dir(&sessions).unwrap();
        for (name, session) in [
            ("1", "UID=1000\nSTATE=active\nREMOTE_HOST=10.0.0.1\n"),
            ("2", "UID=1000\nSTATE=online\nREMOTE_HOST=10.0.0.2\n"),
            ("3", "UID=1001\nSTATE=active\nREMOTE_HOST=10.0.0.1\n"),
            ("4", "UID=1000\nSTATE=closing\nREMOTE_HOST=10.0.0.9\n"),
            ("5", "UID=1000\nSTATE=active\nSEAT=seat0\n"),
        ] {
            std::fs::write(sessions.join(name), session).unwrap();
        }
        let nowhere = folder.path().join("none");
        let found = logins(&sessions, &nowhere, 1000, Some("ada"));
        assert_eq!((found.from.len(), found.users.len()), (2, 2), "{found:?}");

        let utmp = folder.path().join("utmp");
        let record = |user: &str, host: &str| {
            let mut record = vec![0u8; UTMP_LEN];
            record[..2].copy_from_slice(&USER_PROCESS);
            record[44..44 + user.len()].copy_from_slice(user.as_bytes());
            record[76..76 + host.len()].copy_from_slice(host.as_bytes());
            record
        };
        let records = [record("ada", "10.0.0.1"), record("ada", "10.0.0.2"), record("bob", "10.0.0.1")];
        std::fs::write(&utmp, [&records.concat()[..], b"cut short"].concat()).unwrap();
        assert_eq!(logins(&nowhere, &utmp, 1000, Some("ada")).from.len(), 2);
        assert_eq!(logins(&nowhere, &utmp, 1001, Some("bob")).from.len(), 1);
        assert_eq!(logins(&nowhere, &nowhere, 1000, None), Logins::default());
    }

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
}
