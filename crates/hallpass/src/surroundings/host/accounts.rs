//! Who has an account here, and whose keys open this one.

use std::collections::BTreeSet;

/// Numbers of people's accounts, as systems give them out (login.defs(5)); `nobody` is above.
const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=60_000;
/// Shells of accounts that nobody logs in to.
const NO_SHELL: [&str; 2] = ["nologin", "false"];
/// Where accounts come from that are no more than this machine's own (nsswitch.conf(5)). All else is a directory of others.
const OF_THIS_MACHINE: [&str; 5] = ["files", "compat", "systemd", "db", "altfiles"];
/// Whose keys open the account, below its home (sshd(8)).
pub(super) const KEYS: &str = ".ssh/authorized_keys";

/// Who has an account here (passwd(5)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Accounts {
    /// The name of this user, if it has one.
    pub(super) user: Option<String>,
    /// Another with this number.
    pub(super) same_uid: Option<String>,
    /// Another with this home.
    pub(super) same_home: Option<String>,
    /// The people who can log in; `None` where there may be more than this machine knows of.
    pub(super) people: Option<BTreeSet<String>>,
}

impl Accounts {
    /// Those of a machine, as this user sees them.
    pub(super) fn of(passwd: &str, nsswitch: &str, uid: u32) -> Self {
        let all: Vec<Account<'_>> = passwd.lines().filter_map(Account::parse).collect();
        let own = all.iter().find(|one| one.uid == uid);
        let named = |found: Option<&Account<'_>>| found.map(|one| one.name.to_owned());
        let same_uid = all.iter().find(|one| one.uid == uid && own.is_some_and(|own| own.name != one.name));
        // Users of the system's own have no home to speak of.
        let same_home = own
            .filter(|own| own.home.starts_with("/home/"))
            .and_then(|own| all.iter().find(|one| one.uid != uid && one.home == own.home));
        let people = all.iter().filter(|one| one.is_person()).map(|one| one.name.to_owned()).collect();
        Self {
            user: named(own),
            same_uid: named(same_uid),
            same_home: named(same_home),
            people: knows_all(nsswitch).then_some(people),
        }
    }

    /// Whether one person has an account here and nobody else, and it is this one, if one is named.
    pub(super) fn one_person(&self, named: Option<&str>) -> bool {
        let Some(people) = &self.people else { return false };
        people.len() == 1 && named.is_none_or(|name| people.contains(name))
    }
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    home: &'a str,
    shell: &'a str,
}

impl<'a> Account<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, uid, home) = (fields.next()?, fields.nth(1)?.parse().ok()?, fields.nth(2)?);
        Some(Self { name, uid, home: home.trim_end_matches('/'), shell: fields.next().unwrap_or_default() })
    }

    fn is_person(&self) -> bool {
        PEOPLE.contains(&self.uid) && !NO_SHELL.contains(&self.shell.rsplit('/').next().unwrap_or_default())
    }
}

/// Whether every account stands on this machine. Where nobody says, it does.
fn knows_all(nsswitch: &str) -> bool {
    let lines = nsswitch.lines().filter_map(|line| line.trim_start().strip_prefix("passwd:"));
    // What stands in brackets says what to do, not where to look.
    let mut places = lines.flat_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_ascii_whitespace().filter(|word| !word.contains(['[', ']', '=']))
    });
    places.all(|place| OF_THIS_MACHINE.contains(&place))
}

/// The people whose keys these are: what `ssh-keygen` writes behind one is `NAME@MACHINE`. Comments of another form tell
/// nothing, and who is called the same on several machines is one person.
pub(super) fn people_with_keys(keys: &str) -> BTreeSet<String> {
    let lines = keys.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let people = lines.filter_map(|line| {
        let comment = line.rsplit([' ', '\t']).next()?;
        let (name, machine) = comment.split_once('@')?;
        let plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        (plain(name) && plain(machine)).then(|| name.to_ascii_lowercase())
    });
    // Keys made as root, or by a cloud's own account, are nobody's in particular.
    people.filter(|name| !["root", "admin", "ubuntu", "user"].contains(&name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n\
                          deploy:x:1000:1000::/srv:/bin/sh\nbob:x:1001:1001::/home/ada/:/bin/sh\nbroken\n";

    #[test]
    fn another_name_for_the_same_user_or_home_is_found() {
        let named = |text: &str| Some(text.to_owned());
        let found = |uid| {
            let found = Accounts::of(PASSWD, "", uid);
            (found.user, found.same_uid, found.same_home)
        };
        assert_eq!(found(1000), (named("ada"), named("deploy"), named("bob")));
        assert_eq!(found(0), (named("root"), None, None));
        assert_eq!(found(7), (None, None, None));
    }

    #[test]
    fn one_person_is_who_alone_can_log_in_and_a_directory_may_have_more() {
        let laptop = "root:x:0:0::/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/zsh\n\
                      git:x:998:998::/srv/git:/bin/sh\nftp:x:1001:1001::/srv:/usr/sbin/nologin\n\
                      nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n";
        let of = |nsswitch: &str| Accounts::of(laptop, nsswitch, 0);
        for alone in
            ["", "passwd: files systemd\ngroup: sss", "passwd:\tcompat [NOTFOUND=return] files # sss"]
        {
            assert!(of(alone).one_person(None) && of(alone).one_person(Some("ada")), "{alone}");
        }
        assert!(!of("").one_person(Some("bob")), "somebody whom no file knows");
        for more in ["passwd: files sss", "passwd: ldap files", "passwd: files [!UNAVAIL=return] winbind"] {
            assert!(!of(more).one_person(None), "{more}");
        }
        assert!(!Accounts::of(PASSWD, "", 0).one_person(None), "two, under three names");
        assert!(!Accounts::of("root:x:0:0::/root:/bin/sh\n", "", 0).one_person(None), "a server of nobody's");
    }

    #[test]
    fn keys_say_whose_they_are_where_they_say_so_plainly() {
        let keys = "# ada's\nssh-ed25519 AAAA ada@laptop\nssh-ed25519 AAAB Ada@desk\n\
                    from=\"10.0.0.0/8\",no-pty ssh-rsa AAAC bob@work.example\n\
                    ssh-rsa AAAD key for deploys\nssh-rsa AAAE root@build\nssh-rsa AAAF\n\n";
        let found: Vec<_> = people_with_keys(keys).into_iter().collect();
        assert_eq!(found, ["ada", "bob"]);
        assert!(people_with_keys("").is_empty());
    }
}
