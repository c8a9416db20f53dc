//! Whether this machine, or this user on it, is one person's alone.
//!
//! Where others are the same user to the system, no file mode and no check of a peer keeps them out: whatever a sign-in
//! leaves here is theirs as well. So it is said aloud, and nothing is kept unless the person says where.
//!
//! A guess that is wrong costs a person their sign-in every quarter of an hour, on a machine that is theirs. So what one
//! person's laptop or workstation may show, too, is no sign.

use std::collections::BTreeSet;
use std::path::Path;

use hallpass_holder::Surroundings;
use hallpass_model::device::DeviceClass;

use crate::env;
use crate::failure::Failure;
use accounts::Accounts;
use logins::Logins;

mod accounts; // who has an account here, and by which keys people come
mod agents; // build systems whose agents stay
mod logins; // who is logged in

/// The audit id of a process that nobody logged in for (`loginuid` of proc(5)).
const NOBODY_LOGGED_IN: u32 = u32::MAX;
/// Which ids this user namespace has (user_namespaces(7)), and whom it shows where it has none.
const UID_MAP: &str = "/proc/self/uid_map";
const NOBODY: &str = "/proc/sys/kernel/overflowuid";
const NOBODY_USUALLY: u32 = 65534;
/// Where systemd writes down who is logged in, one file a session, and others an array of records (utmp(5)).
const SESSIONS: &str = "/run/systemd/sessions";
const UTMP: &str = "/run/utmp";
/// People on one machine, over SSH, from which on it is taken for one that they pass through. Two may share a desk.
const PEOPLE_PASSING: usize = 3;
/// Machines that one user is logged in from at once, from which on it is taken for several people. One person has two:
/// the one they sit at, and the one they left, or the same one under the address it had before.
const MACHINES_OF_ONE: usize = 3;
/// People whose keys open one account, from which on it is taken for theirs together. One person may be called something
/// else at home.
const PEOPLE_WITH_KEYS: usize = 3;

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
    accounts: Accounts,
    /// The user who became this one (`SUDO_USER`, `DOAS_USER`).
    came_from: Option<String>,
    /// The user who logged in, whoever they have become since.
    login_uid: Option<u32>,
    /// Who owns the home, and who is nobody: whom no id here stands for.
    home_owner: Option<u32>,
    nobody: u32,
    /// From where this very user is logged in, and how many users are.
    logins: Logins,
    /// Whose keys open this account, as the keys say.
    keys: BTreeSet<String>,
    /// The build system whose job this is, if its agent stays when the job is over.
    agent: Option<&'static str>,
    /// A root of its own, or ids of its own: others have other numbers outside.
    contained: bool,
    /// Windows' own Linux: a machine of whoever sits at it.
    wsl: bool,
    ssh: bool,
    desktop: bool,
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
    let accounts = &facts.accounts;
    // Root on a machine of one person is that person.
    let root_is_one = facts.uid == 0 && (facts.wsl || accounts.one_person(facts.came_from.as_deref()));
    if let Some(other) = facts.came_from.as_ref().filter(|name| accounts.user.as_ref() != Some(name))
        && !root_is_one
    {
        return shared(format!("`{other}` became this user, as others may"));
    }
    // A container has a root of its own, and is gone when its task ends.
    if facts.uid == 0 && !facts.contained && !root_is_one {
        return shared("you are root, as is everybody who may become root".into());
    }
    // Where ids are others outside, whoever logged in there has another number here.
    if facts.login_uid.is_some_and(|login| login != NOBODY_LOGGED_IN && login != facts.uid)
        && !facts.contained
        && !root_is_one
    {
        return shared("you logged in as another user and became this one, as others may".into());
    }
    if let Some(other) = &accounts.same_uid {
        return shared(format!("`{other}` is the same user to the system"));
    }
    if let Some(other) = &accounts.same_home {
        return shared(format!("`{other}` has the same home folder"));
    }
    // Root's is one that is not this user's to write to (`HOME=/` in containers), and nobody's is one whose owner is not
    // known here: a file server that does not know our names, a user namespace.
    if facts.home_owner.is_some_and(|owner| ![facts.uid, facts.nobody, 0].contains(&owner)) {
        return shared("the home folder belongs to another user".into());
    }
    if facts.desktop {
        return None; // whoever sits at it may be logged in to it from elsewhere, too
    }
    let (from, keys) = (&facts.logins.from, &facts.keys);
    if from.len() >= MACHINES_OF_ONE || from.len() > 1 && keys.len() > 1 {
        return shared(format!("this user is logged in from several machines at once ({})", listed(from)));
    }
    if facts.ssh && keys.len() >= PEOPLE_WITH_KEYS {
        return shared(format!("the SSH keys of several people open this account ({})", listed(keys)));
    }
    if facts.ssh && facts.logins.users.len() >= PEOPLE_PASSING {
        return shared(format!("{} users are logged in to it over the network", facts.logins.users.len()));
    }
    None
}

fn listed(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn facts(at: &Surroundings) -> Facts {
    let uid = rustix::process::geteuid().as_raw();
    let accounts = Accounts::of(&text(Path::new("/etc/passwd")), &text(Path::new("/etc/nsswitch.conf")), uid);
    let home = env::HOME.path();
    let number = |path: &str| text(Path::new(path)).trim().parse().ok();
    Facts {
        uid,
        came_from: env::SUDO_USER.text().or_else(|| env::DOAS_USER.text()),
        login_uid: number("/proc/self/loginuid"),
        home_owner: home.as_deref().and_then(owner),
        nobody: number(NOBODY).unwrap_or(NOBODY_USUALLY),
        logins: logins::read(Path::new(SESSIONS), Path::new(UTMP), uid, accounts.user.as_deref()),
        keys: home
            .as_deref()
            .map(|home| accounts::people_with_keys(&text(&home.join(accounts::KEYS))))
            .unwrap_or_default(),
        agent: agents::find(home.as_deref(), accounts.user.as_deref()).filter(|_| !at.container),
        contained: at.container || has_own_ids(&text(Path::new(UID_MAP))),
        wsl: at.wsl,
        ssh: at.ssh,
        desktop: at.desktop,
        accounts,
    }
}

/// Whether a map is not the first namespace's, in which every id is itself. In doubt it is.
fn has_own_ids(map: &str) -> bool {
    let map: Vec<_> = map.split_ascii_whitespace().collect();
    !map.is_empty() && map != ["0", "0", "4294967295"]
}

fn owner(home: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(home).ok().map(|found| found.uid())
}

/// A file of the system's at most, in bytes: some thousands of accounts or logins.
const FILE_LEN_MAX: u64 = 4 * 1024 * 1024;

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

    fn of(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// Ada, at a machine on which she and bob have accounts.
    fn ada() -> Facts {
        let accounts =
            Accounts { user: Some("ada".into()), people: Some(of(&["ada", "bob"])), ..Accounts::default() };
        Facts { uid: 1000, accounts, login_uid: Some(1000), nobody: NOBODY_USUALLY, ..Facts::default() }
    }

    fn root() -> Facts {
        let accounts = Accounts { user: Some("root".into()), ..ada().accounts };
        Facts { uid: 0, accounts, ..ada() }
    }

    fn alone(facts: Facts) -> Facts {
        Facts { accounts: Accounts { people: Some(of(&["ada"])), ..facts.accounts }, ..facts }
    }

    fn from(hosts: &[&str]) -> Logins {
        Logins { from: of(hosts), users: of(&["1000"]) }
    }

    fn passing() -> Logins {
        Logins { from: of(&["a"]), users: of(&["1000", "1001", "1002"]) }
    }

    #[test]
    fn a_machine_of_one_person_is_theirs_whatever_it_looks_like() {
        let sudo = |facts| Facts { came_from: Some("ada".into()), ..facts };
        let table = [
            ("at a desk", ada()),
            ("started by the system, not by a login", Facts { login_uid: Some(NOBODY_LOGGED_IN), ..ada() }),
            ("sudo to oneself", sudo(ada())),
            ("root of a container", Facts { contained: true, login_uid: Some(1000), ..root() }),
            (
                "a user of a rootless container, whose login has another number",
                Facts { contained: true, login_uid: Some(0), ..ada() },
            ),
            ("sudo on a laptop on which nobody else has an account", sudo(alone(root()))),
            (
                "logged in as root where nobody else has an account",
                alone(Facts { login_uid: Some(0), ..root() }),
            ),
            ("root of Windows' own Linux", Facts { wsl: true, login_uid: None, ..root() }),
            ("a home that is root's: HOME=/ of an image", Facts { home_owner: Some(0), ..ada() }),
            (
                "a home on a file server that does not know the name",
                Facts { home_owner: Some(NOBODY_USUALLY), ..ada() },
            ),
            (
                "logged in from one machine",
                Facts { home_owner: Some(1000), logins: from(&["10.0.0.1"]), ..ada() },
            ),
            (
                "from two: a laptop that changed its network",
                Facts { ssh: true, logins: from(&["10.0.0.1", "192.168.1.5"]), ..ada() },
            ),
            (
                "a desktop that is also reached from elsewhere",
                Facts { desktop: true, ssh: true, logins: from(&["a", "b", "c"]), ..ada() },
            ),
            (
                "keys of a laptop, and of one where one is called otherwise",
                Facts { ssh: true, keys: of(&["ada", "alovelace"]), ..ada() },
            ),
            (
                "keys of others, for a person who sits here",
                Facts { keys: of(&["ada", "bob", "eve"]), ..ada() },
            ),
            ("others are here, and this person did not come over SSH", Facts { logins: passing(), ..ada() }),
            (
                "others are here, and this person has a desktop",
                Facts { logins: passing(), ssh: true, desktop: true, ..ada() },
            ),
        ];
        for (what, facts) in table {
            assert_eq!(judge(&facts), None, "{what}");
        }
    }

    #[test]
    fn a_machine_that_others_share_is_known_and_the_reason_is_said() {
        let bob = Some("bob".to_owned());
        let same = |facts: Facts, accounts| Facts { accounts, ..facts };
        let table = [
            (Facts { agent: Some("Jenkins"), ..ada() }, "job of Jenkins"),
            (Facts { login_uid: None, ..root() }, "root"),
            (
                Facts { login_uid: None, accounts: Accounts { people: None, ..root().accounts }, ..root() },
                "root",
            ),
            (Facts { came_from: bob.clone(), ..root() }, "`bob` became"),
            (alone(Facts { came_from: bob.clone(), ..root() }), "`bob` became"),
            (Facts { came_from: bob.clone(), ..ada() }, "`bob` became"),
            (alone(Facts { came_from: bob, ..ada() }), "`bob` became"),
            (Facts { login_uid: Some(1001), ..ada() }, "became this one"),
            (
                same(ada(), Accounts { same_uid: Some("deploy".into()), ..ada().accounts }),
                "`deploy` is the same user",
            ),
            (same(ada(), Accounts { same_home: Some("deploy".into()), ..ada().accounts }), "same home"),
            (Facts { home_owner: Some(1001), ..ada() }, "belongs to another"),
            (Facts { logins: from(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]), ..ada() }, "several machines"),
            (
                Facts { logins: from(&["a", "b"]), keys: of(&["ada", "bob"]), ..ada() },
                "several machines at once (a, b)",
            ),
            (
                Facts { ssh: true, keys: of(&["ada", "bob", "eve"]), ..ada() },
                "keys of several people open this account (ada, bob, eve)",
            ),
            (Facts { logins: passing(), ssh: true, ..ada() }, "3 users"),
        ];
        for (facts, why) in table {
            let judged = judge(&facts).unwrap_or_else(|| panic!("{why}: {facts:?}"));
            assert!(judged.why.contains(why), "{judged:?}");
            let class = if facts.agent.is_some() { DeviceClass::BuildAgent } else { DeviceClass::SharedHost };
            assert_eq!(judged.class, class);
        }
    }

    #[test]
    fn only_the_first_namespace_has_everybody_s_ids() {
        assert!(!has_own_ids("         0          0 4294967295\n") && !has_own_ids(""));
        assert!(has_own_ids("         0       1000          1\n"));
        assert!(has_own_ids("0 1000 1\n1 100000 65536\n"));
    }
}
