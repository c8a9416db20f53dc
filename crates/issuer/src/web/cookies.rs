//! The cookies of the pages: what they are called, and how long browsers keep them.
//!
//! Three exist. The web login's, one for each org, so that one browser may be logged in to several; and the browser's own,
//! which ties the forms and ceremonies of somebody who is not logged in yet to the browser that began them; and an enrolment link's, for as
//! long as its person is away at their organisation's own provider.
//!
//! Over TLS each has the `__Host-` prefix: set by this host alone, for all its paths, sent over TLS alone. Paths protect
//! nothing, so that one org's cookie is never believed at another's page: the store is asked for org and cookie together.

use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use hallpass_model::lifetimes;
use hallpass_model::random::Entropy;
use hallpass_model::secret::{OneTimeLink, Secret, WebCookie};
use hallpass_model::spelling::{self, Prefix, RANDOM_BYTES};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use crate::base_url::BaseUrl;

/// Which cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CookieOf<'a> {
    /// The login to this org.
    Login(&'a str),
    /// The browser, before any login.
    Browser,
    /// An enrolment link, while its person logs in at their organisation's own provider.
    Link,
}

/// The secret in a cookie of ours, if the browser sent one and it is well-formed.
pub(crate) fn find(base: &BaseUrl, headers: &HeaderMap, which: CookieOf<'_>) -> Option<Secret<WebCookie>> {
    let value = only(base, headers, which)?;
    spelling::parse::<RANDOM_BYTES>(Prefix::Web, value).ok()?;
    Some(Secret::from_text(value.to_owned()))
}

/// The enrolment link that waits with the browser, if one does.
pub(crate) fn find_link(base: &BaseUrl, headers: &HeaderMap) -> Option<Secret<OneTimeLink>> {
    let value = only(base, headers, CookieOf::Link)?;
    spelling::parse::<RANDOM_BYTES>(Prefix::Link, value).ok()?;
    Some(Secret::from_text(value.to_owned()))
}

/// The `Set-Cookie` that has an enrolment link wait with the browser, or takes it away.
pub(crate) fn link(base: &BaseUrl, link: Option<&Secret<OneTimeLink>>) -> HeaderValue {
    match link {
        Some(link) => {
            let most = Duration::seconds(lifetimes::CEREMONY.as_seconds());
            render(base, CookieOf::Link, link.expose_text(), most)
        }
        None => render(base, CookieOf::Link, "", Duration::ZERO),
    }
}

/// What the one cookie of this name holds.
fn only<'a>(base: &BaseUrl, headers: &'a HeaderMap, which: CookieOf<'_>) -> Option<&'a str> {
    let wanted = name(base, which);
    let pairs = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == wanted);
    let (_, value) = values.next()?;
    // SECURITY: two of one name means that somebody else planted one; neither is believed.
    values.next().is_none().then_some(value)
}

/// A new secret for the browser's own cookie. It is in no store: it opens nothing.
pub(crate) fn new_browser(entropy: &dyn Entropy) -> Secret<WebCookie> {
    let mut bytes = Zeroizing::new([0u8; RANDOM_BYTES]);
    entropy.fill(&mut bytes[..]);
    Secret::from_text(spelling::render(Prefix::Web, &bytes[..]).to_string())
}

/// The `Set-Cookie` that leaves a secret with the browser.
pub(crate) fn set(base: &BaseUrl, which: CookieOf<'_>, secret: &Secret<WebCookie>) -> HeaderValue {
    render(base, which, secret.expose_text(), Duration::seconds(lifetimes::WEB_ABSOLUTE.as_seconds()))
}

/// The `Set-Cookie` that takes it away.
pub(crate) fn clear(base: &BaseUrl, which: CookieOf<'_>) -> HeaderValue {
    render(base, which, "", Duration::ZERO)
}

fn render(base: &BaseUrl, which: CookieOf<'_>, value: &str, max_age: Duration) -> HeaderValue {
    let cookie = Cookie::build((name(base, which), value))
        .path("/")
        .secure(base.is_https())
        .http_only(true)
        // Lax, not strict: the terminal opens the browser at `/authorize`, which must find the login.
        .same_site(SameSite::Lax)
        .max_age(max_age)
        .build();
    HeaderValue::from_str(&Zeroizing::new(cookie.to_string()))
        .expect("names and values are ASCII without controls")
}

fn name(base: &BaseUrl, which: CookieOf<'_>) -> String {
    // Browsers keep cookies by host and not by port: two servers on one machine must not overwrite each other's.
    let prefix = match base.url().port() {
        _ if base.is_https() => "__Host-hallpass".to_owned(),
        port => format!("hallpass-{}", port.unwrap_or(80)),
    };
    match which {
        CookieOf::Login(org) => format!("{prefix}-login-{org}"),
        CookieOf::Browser => format!("{prefix}-browser"),
        CookieOf::Link => format!("{prefix}-link"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hallpass_model::random::Seeded;

    fn base(text: &str) -> BaseUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_cookie_over_tls_is_this_hosts_alone() {
        let secret = new_browser(&Seeded::new(1));
        let set = set(&base("https://id.example.com"), CookieOf::Login("acme"), &secret);
        let text = set.to_str().unwrap();
        assert!(text.starts_with("__Host-hallpass-login-acme=hpw_"), "{text}");
        for part in ["; HttpOnly", "; SameSite=Lax", "; Secure", "; Path=/", "; Max-Age=43200"] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
        assert!(!text.contains("Domain"));
    }

    #[test]
    fn two_servers_of_one_machine_have_cookies_of_their_own() {
        let name = |text| name(&base(text), CookieOf::Browser);
        assert_eq!(name("http://localhost:8420"), "hallpass-8420-browser");
        assert_ne!(name("http://localhost:8420"), name("http://localhost:8421"));
    }

    #[test]
    fn a_cookie_is_believed_only_alone_and_well_formed() {
        let base = base("http://localhost:8420");
        let secret = new_browser(&Seeded::new(1));
        let good = format!("hallpass-8420-browser={}", secret.expose_text());
        let find = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(COOKIE, HeaderValue::from_str(value).unwrap());
            }
            super::find(&base, &headers, CookieOf::Browser)
        };
        assert!(find(&[&format!("a=b; {good}")]).unwrap().matches(secret.expose()));
        assert!(find(&[&good, "hallpass-8420-browser=x"]).is_none());
        assert!(find(&["hallpass-8420-browser=hpw_x"]).is_none());
        assert!(find(&[&good.replace("browser", "login-acme")]).is_none());
    }
}
