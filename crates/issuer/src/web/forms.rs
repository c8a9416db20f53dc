//! Whether a posted form came from a page of ours, in the browser we gave it to.
//!
//! Two independent proofs, both on every POST of the pages: the browser's own word on where the request came from, which
//! no page can change; and a token that only a page of this org, shown to this browser, holds.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::ORIGIN;
use subtle::ConstantTimeEq;

use crate::base_url::BaseUrl;

/// Why a form is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forged {
    /// The browser says that another site sent it, or does not say.
    #[error("the form was not sent from a page of this server")]
    Elsewhere,
    /// The token is missing, another browser's or another org's.
    #[error("the form's token is not this browser's, for this org")]
    Token,
}

/// The token of forms shown to one browser, on pages of `place`: an org's name, or the set-up.
///
/// A keyed hash of the place, under a key that stands for the browser: what its own cookie holds before a login, what the
/// store derives from the login's cookie after it. Whoever cannot read the cookie cannot make the token, and one org's
/// does not fit another's.
pub(crate) fn token(key: &[u8], place: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("form\0{place}").as_bytes());
    URL_SAFE_NO_PAD.encode(&tag.as_ref()[..TOKEN_LEN])
}

/// 128 bits of the hash are beyond guessing.
const TOKEN_LEN: usize = 16;

/// Whether `presented` is the token of this browser and place.
pub(crate) fn judge_token(key: &[u8], place: &str, presented: Option<&str>) -> Result<(), Forged> {
    let good = presented.is_some_and(|given| token(key, place).as_bytes().ct_eq(given.as_bytes()).into());
    if good { Ok(()) } else { Err(Forged::Token) }
}

/// Whether the browser says that a page of ours sent this (Fetch Metadata; RFC 6454).
///
/// Every browser that knows passkeys sends one of the two headers with a POST. A request that has neither is no
/// browser's: it holds no cookies of a person's, and is refused all the same.
pub(crate) fn judge_origin(base: &BaseUrl, headers: &HeaderMap) -> Result<(), Forged> {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let first = values.next();
        if values.next().is_some() {
            Some("twice")
        } else {
            first.map(|value| value.to_str().unwrap_or("malformed"))
        }
    };
    let site = one("sec-fetch-site");
    let origin = one(ORIGIN.as_str());
    let good = match (site, origin) {
        (None, None) => false,
        (site, origin) => {
            site.is_none_or(|site| site == "same-origin")
                && origin.is_none_or(|origin| origin == base.origin())
        }
    };
    if good { Ok(()) } else { Err(Forged::Elsewhere) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn a_token_fits_one_browser_and_one_org() {
        let one = [1; 20];
        let two = [2; 20];
        let token = token(&one, "acme");
        assert_eq!(judge_token(&one, "acme", Some(&token)), Ok(()));
        for (cookie, place, presented) in [
            (&two, "acme", Some(&*token)),
            (&one, "other", Some(&token)),
            (&one, "acme", None),
            (&one, "acme", Some("")),
        ] {
            assert_eq!(judge_token(cookie, place, presented), Err(Forged::Token));
        }
    }

    #[test]
    fn a_form_must_come_from_this_very_origin() {
        let base: BaseUrl = "https://id.example.com".parse().unwrap();
        let judge = |headers: &[(&str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static(value))
            });
            judge_origin(&base, &headers.collect::<HeaderMap>())
        };
        for good in [
            &[("sec-fetch-site", "same-origin")][..],
            &[("origin", "https://id.example.com")],
            &[("origin", "https://id.example.com"), ("sec-fetch-site", "same-origin")],
        ] {
            assert_eq!(judge(good), Ok(()), "{good:?}");
        }
        for bad in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "null"), ("sec-fetch-site", "same-origin")],
            &[("origin", "https://id.example.com.evil.example")],
            &[("origin", "http://id.example.com")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
            &[("origin", "https://id.example.com"), ("sec-fetch-site", "cross-site")],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        ] {
            assert_eq!(judge(bad), Err(Forged::Elsewhere), "{bad:?}");
        }
    }
}
