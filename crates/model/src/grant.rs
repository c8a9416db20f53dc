//! What a person agreed to: this client, this far, at these resources, for this purpose.

use serde::{Deserialize, Serialize};

use crate::purpose::Purpose;
use crate::time::Timestamp;
use crate::wire::oauth::Scopes;

/// How a principal proved who they are, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authentication {
    /// When (`auth_time`).
    pub at: Timestamp,
    /// How strongly (`acr`).
    pub acr: Acr,
    /// By which means (`amr`, RFC 8176 names, and ours).
    pub amr: Vec<Amr>,
}

/// How strong an authentication was (`acr`), weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Acr {
    /// Somebody with the server operator's own rights vouched. Never satisfies a step-up.
    #[serde(rename = "urn:hallpass:acr:local")]
    Local,
    /// The organisation's own provider vouched (OIDC), and says no more than that.
    #[serde(rename = "urn:hallpass:acr:sso")]
    Sso,
    /// The same, and it says that there was more than one factor.
    #[serde(rename = "urn:hallpass:acr:mfa")]
    MultiFactor,
    /// A phishing-resistant authenticator, with the person verified by it.
    #[serde(rename = "phr")]
    PhishingResistant,
}

impl Acr {
    /// The value on the wire. `phr` is OpenID EAP ACR Values 1.0's own.
    pub fn text(self) -> &'static str {
        match self {
            Self::Local => "urn:hallpass:acr:local",
            Self::Sso => "urn:hallpass:acr:sso",
            Self::MultiFactor => "urn:hallpass:acr:mfa",
            Self::PhishingResistant => "phr",
        }
    }

    /// A value that somebody may ask for, of those that can be had: an operator's word is nothing to ask for.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Sso, Self::MultiFactor, Self::PhishingResistant].into_iter().find(|acr| acr.text() == text)
    }

    /// How strong what an organisation's own provider says is: `phr` and `phrh` of OpenID EAP ACR Values 1.0, or `mfa` among the
    /// means (RFC 8176). What it calls otherwise is its own, and counts as its word alone.
    pub fn of_provider(acr: Option<&str>, amr: &[Amr]) -> Self {
        match acr {
            Some("phr" | "phrh") => Self::PhishingResistant,
            _ if amr.contains(&Amr::Mfa) => Self::MultiFactor,
            _ => Self::Sso,
        }
    }
}

/// A means of authentication (`amr`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amr {
    /// Possession of a key (RFC 8176): a passkey.
    Pop,
    /// The person was verified by the authenticator (RFC 8176 `user`: presence; with `pin` or `bio` not told apart).
    User,
    /// More than one factor (RFC 8176).
    Mfa,
    /// Approved through the server's own admin socket.
    Local,
    /// Through the organisation's own provider; what that says of the means stands beside it.
    Sso,
    /// A key in hardware (RFC 8176), as the provider says; so for all that follow.
    Hwk,
    /// A key in software.
    Swk,
    /// A one-time password.
    Otp,
    /// A PIN.
    Pin,
    /// A password.
    Pwd,
    /// A text message.
    Sms,
    /// A smart card.
    Sc,
    /// A fingerprint.
    Fpt,
    /// A face.
    Face,
    /// More than one channel.
    Mca,
}

impl Amr {
    /// Those that a provider's word counts for: nobody else says `sso` or `local`.
    const OF_PROVIDERS: [Self; 13] = [
        Self::Pop,
        Self::User,
        Self::Mfa,
        Self::Hwk,
        Self::Swk,
        Self::Otp,
        Self::Pin,
        Self::Pwd,
        Self::Sms,
        Self::Sc,
        Self::Fpt,
        Self::Face,
        Self::Mca,
    ];

    /// The means that a provider names, as far as they are known here (RFC 8176, section 2), and that it was a provider.
    pub fn of_provider(named: &[String]) -> Vec<Self> {
        let known = Self::OF_PROVIDERS.into_iter().filter(|amr| named.iter().any(|name| name == amr.text()));
        std::iter::once(Self::Sso).chain(known).collect()
    }

    /// The value on the wire.
    pub fn text(self) -> &'static str {
        match self {
            Self::Pop => "pop",
            Self::User => "user",
            Self::Mfa => "mfa",
            Self::Local => "local",
            Self::Sso => "sso",
            Self::Hwk => "hwk",
            Self::Swk => "swk",
            Self::Otp => "otp",
            Self::Pin => "pin",
            Self::Pwd => "pwd",
            Self::Sms => "sms",
            Self::Sc => "sc",
            Self::Fpt => "fpt",
            Self::Face => "face",
            Self::Mca => "mca",
        }
    }
}

/// How a session was said yes to: shown to the person among their sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// In the browser of the same machine (authorization code).
    Browser,
    /// On the device approval page.
    DevicePage,
    /// Through the admin socket, by the operator (`--local-approval`).
    AdminSocket,
}

/// What was agreed to. It rides in a code or a device grant, then in the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The most that any token of it may do.
    pub scopes: Scopes,
    /// The resources it reaches, by their URLs, besides the issuer itself.
    pub resources: Vec<String>,
    /// Why, as the requester claimed.
    pub purpose: Option<Purpose>,
    /// How the person proved who they are.
    pub authentication: Authentication,
    /// How they said yes.
    pub approval: Approval,
}

impl Grant {
    /// Whether a token for this resource may come of it. The issuer itself is always in reach: a token for it
    /// opens nothing but exchange and userinfo.
    pub fn reaches(&self, resource: &str, issuer: &str) -> bool {
        resource == issuer || self.resources.iter().any(|r| r == resource)
    }
}
