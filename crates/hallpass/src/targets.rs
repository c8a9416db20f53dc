//! Which program is handed what: the `[[target]]` entries of `config.toml`.
//!
//! ```toml
//! [[target]]
//! kind = "git"                              # who asks: git, docker, kubectl, cargo, aws, pip, pnpm or gcp
//! at = "https://git.example"                # where the token goes: this scheme, host and port, and no other
//! profile = "work"                          # whose it is; or `issuer`, and `client_id` if it is not hallpass-cli
//! resource = "https://git.example/"         # the API it is for; may be left out where the sign-in has just one
//! scope = ["repo:read"]                     # how far it reaches
//! username = "oauth2"                       # for servers that want a name beside it
//!
//! [[target]]
//! kind = "cargo"
//! at = "sparse+https://crates.example/index/"   # as cargo has it, to the letter
//! profile = "work"
//! registry = "example"                      # its name in cargo's own configuration
//! scope = ["crates:read"]
//! change_scope = ["crates:publish"]         # of the token for `cargo publish`, `yank` and `owner`
//!
//! [[target]]
//! kind = "aws"
//! at = "https://sts.eu-central-1.amazonaws.com"
//! role = "arn:aws:iam::123456789012:role/deploy"
//! profile = "work"
//! resource = "https://sts.example/"         # the audience that the account's identity provider expects
//! lasts = "1h"                              # how long the role is taken on
//!
//! [[target]]
//! kind = "gcp"
//! audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/h"
//! profile = "work"
//! resource = "https://gcp.example/"
//!
//! [[target]]
//! kind = "kubectl"
//! at = "https://k8s.example:6443"
//! profile = "work"
//! cluster = "prod"                          # the kubeconfig's name for it, for `hallpass setup kubectl`
//! ```

use std::fmt;
use std::str::FromStr;

use hallpass_holder::ProfileName;
use hallpass_holder::adapters::aws::{self, Role};
use hallpass_holder::adapters::{Place, docker};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;

use crate::failure::Failure;
use crate::holding::{parse_resource, parse_scope, scopes};
use crate::written::Table;

/// The name servers are told that want one beside the token; most read the token alone.
const USERNAME: &str = "oauth2";
/// How long a role is taken on: what AWS does where nobody says.
const ROLE_LASTS: Lifetime = Lifetime::hours(1);
const KEYS: [&str; 15] = [
    "kind",
    "at",
    "profile",
    "issuer",
    "client_id",
    "resource",
    "scope",
    "change_scope",
    "username",
    "registry",
    "role",
    "lasts",
    "audience",
    "impersonate",
    "cluster",
];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Git,
    Docker,
    Kubectl,
    Cargo,
    Aws,
    Pip,
    Pnpm,
    Gcp,
}

impl Kind {
    pub(crate) const ALL: [Kind; 8] =
        [Kind::Git, Kind::Docker, Kind::Kubectl, Kind::Cargo, Kind::Aws, Kind::Pip, Kind::Pnpm, Kind::Gcp];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Git => "git",
            Kind::Docker => "docker",
            Kind::Kubectl => "kubectl",
            Kind::Cargo => "cargo",
            Kind::Aws => "aws",
            Kind::Pip => "pip",
            Kind::Pnpm => "pnpm",
            Kind::Gcp => "gcp",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("known are {}", Kind::ALL.map(Kind::name).join(", ")))
    }
}

/// What one program may be handed, and for where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) at: At,
    /// Whose it is.
    pub(crate) profile: Option<ProfileName>,
    pub(crate) issuer: Option<String>,
    pub(crate) client_id: Option<String>,
    /// For which API.
    pub(crate) resource: Option<String>,
    /// How far it reaches.
    pub(crate) scopes: Scopes,
    username: Option<String>,
}

/// Where it goes, by who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    Git(Place),
    Docker(Place),
    Kubectl { server: Place, cluster: Option<String> },
    Cargo { index: String, registry: Option<String>, change_scopes: Option<Scopes> },
    Aws { sts: Place, role: Role, lasts: Lifetime },
    Pip(Place),
    Pnpm(Place),
    Gcp { audience: String, impersonate: Option<String> },
}

impl Target {
    /// Reads one entry.
    pub(crate) fn judge(table: Table<'_>) -> Result<Self, Failure> {
        table.only(&KEYS)?;
        let kind = table.one::<Kind>("kind")?.ok_or_else(|| table.lacks("kind"))?;
        let place = || table.parsed("at", parse_place)?.ok_or_else(|| table.lacks("at"));
        let at = match kind {
            Kind::Git => At::Git(place()?),
            Kind::Docker => At::Docker(place()?),
            Kind::Kubectl => At::Kubectl { server: place()?, cluster: table.parsed("cluster", parse_word)? },
            Kind::Cargo => At::Cargo {
                index: table.parsed("at", parse_index)?.ok_or_else(|| table.lacks("at"))?,
                registry: table.parsed("registry", parse_word)?,
                change_scopes: match table.each("change_scope", parse_scope)? {
                    none if none.is_empty() => None,
                    some => Some(scopes(&some)),
                },
            },
            Kind::Aws => At::Aws {
                sts: place()?,
                role: table.parsed("role", parse_role)?.ok_or_else(|| table.lacks("role"))?,
                lasts: table.parsed("lasts", parse_lasts)?.unwrap_or(ROLE_LASTS),
            },
            Kind::Pip => At::Pip(place()?),
            Kind::Pnpm => At::Pnpm(place()?),
            Kind::Gcp => At::Gcp {
                audience: table.parsed("audience", parse_line)?.ok_or_else(|| table.lacks("audience"))?,
                impersonate: table.parsed("impersonate", parse_line)?,
            },
        };
        let target = Self {
            at,
            profile: table.one("profile")?,
            issuer: table.text("issuer")?,
            client_id: table.text("client_id")?,
            resource: table.parsed("resource", parse_resource)?,
            scopes: scopes(&table.each("scope", parse_scope)?),
            username: table.parsed("username", parse_username)?,
        };
        // SECURITY: whose token goes there is said here, and never left to what else is signed in.
        match target.profile.is_none() && target.issuer.is_none() {
            true => Err(table.lacks("profile")),
            false => Ok(target),
        }
    }

    /// Who asks.
    pub(crate) fn kind(&self) -> Kind {
        match self.at {
            At::Git(_) => Kind::Git,
            At::Docker(_) => Kind::Docker,
            At::Kubectl { .. } => Kind::Kubectl,
            At::Cargo { .. } => Kind::Cargo,
            At::Aws { .. } => Kind::Aws,
            At::Pip(_) => Kind::Pip,
            At::Pnpm(_) => Kind::Pnpm,
            At::Gcp { .. } => Kind::Gcp,
        }
    }

    /// How far down its path is: of two that hold a place, the deeper one is meant.
    pub(crate) fn depth(&self) -> usize {
        match &self.at {
            At::Git(place) | At::Pip(place) => place.depth(),
            _ => 0,
        }
    }

    /// Who to be, for a program that asks as `asked`. `None` if that is somebody else.
    pub(crate) fn username(&self, asked: Option<&str>) -> Option<String> {
        match (&self.username, asked) {
            (Some(own), Some(asked)) if own != asked => None,
            (Some(own), _) => Some(own.clone()),
            (None, asked) => Some(asked.unwrap_or(USERNAME).to_owned()),
        }
    }
}

/// Where it goes, for people.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Git(place) | At::Docker(place) | At::Pip(place) | At::Pnpm(place) => write!(f, "{place}"),
            At::Kubectl { server, .. } => write!(f, "{server}"),
            At::Cargo { index, .. } => f.write_str(index),
            At::Aws { role, .. } => f.write_str(role.arn()),
            At::Gcp { audience, .. } => f.write_str(audience),
        }
    }
}

fn parse_place(text: &str) -> Result<Place, String> {
    let place: Place = text.parse().map_err(|why| format!("{why}"))?;
    match place.is_open_to_all() {
        true => Err("a token would go there in the clear: use https".into()),
        false => Ok(place),
    }
}

/// An index as cargo has it. Its address is judged like any other; the text itself is what is compared.
fn parse_index(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("sparse+").or_else(|| text.strip_prefix("registry+")).unwrap_or(text);
    parse_place(address).map(|_| text.to_owned())
}

fn parse_role(text: &str) -> Result<Role, &'static str> {
    Role::parse(text).ok_or("it is no role: `arn:aws:iam::123456789012:role/NAME`")
}

fn parse_lasts(text: &str) -> Result<Lifetime, String> {
    let lasts: Lifetime = Lifetime::parse(text).map_err(|why| why.to_string())?;
    aws::duration(lasts.as_seconds()).map(|_| lasts).map_err(|why| why.to_string())
}

/// A name that stands in other programs' files unquoted.
fn parse_word(text: &str) -> Result<String, &'static str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    match !text.is_empty() && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("a name has letters, digits, `-`, `_` and `.`"),
    }
}

/// A text that stands in one line and in double quotes.
fn parse_line(text: &str) -> Result<String, &'static str> {
    match !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\')) {
        true => Ok(text.to_owned()),
        false => Err("it has a blank, a quote or another character that has no place there"),
    }
}

fn parse_username(text: &str) -> Result<String, &'static str> {
    match text {
        // Clients would take the token for a refresh token, and send it elsewhere.
        docker::REFRESH_TOKEN_USERNAME => Err("that name has a meaning of its own"),
        _ if text.contains(':') => Err("a name that is sent beside a token has no colon"),
        _ => parse_line(text),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::written::Written;

    fn read(text: &str) -> Result<Vec<Target>, Failure> {
        let written = Written::new(Path::new("config.toml"), text.to_owned());
        written.judge(|table| table.list("target")?.into_iter().map(Target::judge).collect())
    }

    #[test]
    fn what_the_documentation_shows_is_read_whole() {
        let shown = crate::written::shown_in(include_str!("targets.rs"));
        let targets = read(&shown).unwrap();
        let kinds: Vec<_> = targets.iter().map(Target::kind).collect();
        assert_eq!(kinds, [Kind::Git, Kind::Cargo, Kind::Aws, Kind::Gcp, Kind::Kubectl]);
        assert!(targets.iter().all(|target| target.profile.as_ref().unwrap().as_str() == "work"));
    }

    #[test]
    fn a_name_that_is_asked_for_must_be_the_entry_s_if_it_has_one() {
        let entry = "[[target]]\nkind = \"git\"\nat = \"https://git.example\"\nprofile = \"work\"\n";
        let any = read(entry).unwrap().remove(0);
        assert_eq!(any.username(Some("bob")).as_deref(), Some("bob"));
        assert_eq!(any.username(None).as_deref(), Some(USERNAME));
        let ada = read(&format!("{entry}username = \"ada\"\n")).unwrap().remove(0);
        assert_eq!(ada.username(None).as_deref(), Some("ada"));
        assert_eq!(ada.username(Some("bob")), None);
    }

    #[test]
    fn each_kind_needs_what_it_is_known_by() {
        for (entry, lacks) in [
            ("profile = \"w\"", "kind"),
            ("kind = \"git\"\nprofile = \"w\"", "at"),
            ("kind = \"aws\"\nat = \"https://sts.example\"\nprofile = \"w\"", "role"),
            ("kind = \"gcp\"\nprofile = \"w\"", "audience"),
        ] {
            let refused = read(&format!("[[target]]\n{entry}\n")).unwrap_err();
            assert!(refused.message().contains(&format!("`{lacks}` is missing")), "{}", refused.message());
        }
        let cargo = "[[target]]\nkind = \"cargo\"\nprofile = \"w\"\nat = \"sparse+http://crates.example/\"\n";
        assert!(read(cargo).unwrap_err().message().contains("in the clear"));
        let aws = "[[target]]\nkind = \"aws\"\nprofile = \"w\"\nat = \"https://sts.example\"\n\
                   role = \"arn:aws:iam::123456789012:role/x\"\nlasts = \"5m\"\n";
        assert!(read(aws).unwrap_err().message().contains("15 minutes"));
    }
}
