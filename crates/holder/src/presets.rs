//! What is known beforehand about some providers: data, and nothing that a flag could not say.

use hallpass_model::client::HALLPASS_CLI;
use hallpass_model::wire::metadata::IssuerMetadata;

/// What is known about a provider.
#[derive(Debug)]
#[non_exhaustive]
pub struct Preset {
    /// What may be typed in place of an issuer, and is shown.
    pub name: &'static str,
    /// Its issuer, where there is one for everybody.
    pub issuer: Option<&'static str>,
    /// The host its issuers are at, where each customer has one of their own.
    host: Option<&'static str>,
    /// What to type instead, where the name alone is not enough.
    pub name_is_not_enough: Option<&'static str>,
    /// The client to be, where one is there for everybody.
    pub client_id: Option<&'static str>,
    /// What to ask for besides what the person asks for.
    pub scopes: &'static [&'static str],
    /// Parameters of its own for the authorization request.
    pub authorize_extra: &'static [(&'static str, &'static str)],
    /// Its endpoints, where it has no metadata.
    fixed: Option<Fixed>,
    /// The path of the loopback redirect.
    pub redirect_path: &'static str,
}

#[derive(Debug)]
struct Fixed {
    authorization: &'static str,
    token: &'static str,
    device: &'static str,
    userinfo: &'static str,
}

/// The redirect path our issuer's `hallpass-cli` is registered with.
pub const REDIRECT_PATH: &str = "/callback";

const NOTHING: Preset = Preset {
    name: "",
    issuer: None,
    host: None,
    name_is_not_enough: None,
    client_id: None,
    scopes: &[],
    authorize_extra: &[],
    fixed: None,
    redirect_path: REDIRECT_PATH,
};

/// An issuer of Hallpass.
pub static HALLPASS: Preset = Preset {
    name: "hallpass",
    name_is_not_enough: Some("the address of the issuer, such as `https://id.example/acme`"),
    client_id: Some(HALLPASS_CLI),
    scopes: &["openid", "profile", "offline_access"],
    ..NOTHING
};

/// Any provider with discovery.
pub static GENERIC: Preset = Preset {
    name: "oidc",
    name_is_not_enough: Some("the address of the issuer, such as `https://id.example`"),
    scopes: &["openid", "offline_access"],
    ..NOTHING
};

/// A provider whose endpoints somebody named by hand: nothing is added to what they ask for.
pub(crate) static BY_HAND: Preset = NOTHING;

static GITHUB: Preset = Preset {
    name: "github",
    issuer: Some("https://github.com"),
    scopes: &["read:user"],
    fixed: Some(Fixed {
        authorization: "https://github.com/login/oauth/authorize",
        token: "https://github.com/login/oauth/access_token",
        device: "https://github.com/login/device/code",
        userinfo: "https://api.github.com/user",
    }),
    ..NOTHING
};

static GITLAB: Preset = Preset {
    name: "gitlab",
    issuer: Some("https://gitlab.com"),
    // GitLab gives refresh tokens without being asked, and knows no `offline_access`.
    scopes: &["openid", "profile"],
    ..NOTHING
};

static GOOGLE: Preset = Preset {
    name: "google",
    issuer: Some("https://accounts.google.com"),
    scopes: &["openid", "email"],
    // Google's own way to ask for a refresh token; without the prompt it comes the first time only.
    authorize_extra: &[("access_type", "offline"), ("prompt", "consent")],
    ..NOTHING
};

static MICROSOFT: Preset = Preset {
    name: "microsoft",
    host: Some("login.microsoftonline.com"),
    // The shared issuers name another issuer in their metadata, so no answer of theirs could be believed.
    name_is_not_enough: Some("your tenant's issuer: `https://login.microsoftonline.com/TENANT-ID/v2.0`"),
    scopes: &["openid", "profile", "offline_access"],
    redirect_path: "/",
    ..NOTHING
};

/// All of them, for help and tests.
pub static ALL: [&Preset; 6] = [&HALLPASS, &GENERIC, &GITHUB, &GITLAB, &GOOGLE, &MICROSOFT];

impl Preset {
    /// The preset of this name.
    pub fn named(name: &str) -> Option<&'static Preset> {
        ALL.into_iter().find(|preset| preset.name == name)
    }

    /// The preset for an issuer's address, if anything is known about it.
    pub(crate) fn of_issuer(issuer: &str) -> Option<&'static Preset> {
        let host = url::Url::parse(issuer).ok()?.host_str()?.to_owned();
        ALL.into_iter().find(|preset| preset.issuer == Some(issuer) || preset.host == Some(&host))
    }

    /// Its metadata, where it publishes none.
    pub(crate) fn metadata(&self) -> Option<IssuerMetadata> {
        let (issuer, fixed) = (self.issuer?, self.fixed.as_ref()?);
        let parsed = |text: &str| Some(text.parse().expect("a preset's addresses are well-formed"));
        let mut metadata = IssuerMetadata::new(issuer);
        metadata.authorization_endpoint = parsed(fixed.authorization);
        metadata.token_endpoint = parsed(fixed.token);
        metadata.device_authorization_endpoint = parsed(fixed.device);
        metadata.userinfo_endpoint = parsed(fixed.userinfo);
        metadata.code_challenge_methods_supported = vec!["S256".into()];
        // A secret in the form: such providers know no header for it.
        metadata.token_endpoint_auth_methods_supported = vec!["client_secret_post".into()];
        Some(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_by_name_and_by_issuer() {
        assert_eq!(Preset::named("github").map(|p| p.name), Some("github"));
        assert!(Preset::named("nobody").is_none());
        let tenant = "https://login.microsoftonline.com/0000/v2.0";
        assert_eq!(Preset::of_issuer(tenant).map(|p| p.name), Some("microsoft"));
        assert_eq!(Preset::of_issuer("https://accounts.google.com").map(|p| p.name), Some("google"));
        assert!(Preset::of_issuer("https://id.example").is_none());
    }

    #[test]
    fn each_leads_somewhere_or_says_what_to_type() {
        for preset in ALL {
            assert!(preset.issuer.is_some() || preset.name_is_not_enough.is_some(), "{}", preset.name);
            assert!(preset.redirect_path.starts_with('/'));
            preset.metadata();
        }
        assert!(GITHUB.metadata().unwrap().token_endpoint.is_some());
    }
}
