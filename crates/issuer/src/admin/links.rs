//! One-time links as addresses.
//!
//! SECURITY: the secret stands in the fragment, which a browser sends to nobody: it is in no request line, no log of a
//! proxy and no referrer. The page's script posts it, and that spends it.

use crate::BaseUrl;
use hallpass_model::principal::Handle;
use hallpass_model::secret::{OneTimeLink, Secret};
use zeroize::Zeroizing;

use super::forms::Revealed;

/// The address at which the first org is set up.
pub fn setup_url(base_url: &BaseUrl, secret: &Secret<OneTimeLink>) -> Revealed {
    revealed(&format!("{}/setup", base_url.origin()), secret)
}

/// The address at which a person of this org enrols.
pub(crate) fn enrolment_url(base_url: &BaseUrl, org: &Handle, secret: &Secret<OneTimeLink>) -> Revealed {
    revealed(&format!("{}/enrol", base_url.issuer(org)), secret)
}

fn revealed(page: &str, secret: &Secret<OneTimeLink>) -> Revealed {
    let secret = secret.expose_text();
    // The whole length is known beforehand, so that no shorter buffer is left behind unwiped.
    let mut url = Zeroizing::new(String::with_capacity(page.len() + 1 + secret.len()));
    url.push_str(page);
    url.push('#');
    url.push_str(secret);
    Revealed::new(url)
}
