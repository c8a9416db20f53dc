//! Values whose possession is proof.

use std::fmt;
use std::marker::PhantomData;

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A kind of secret: the name `Debug` prints in its place. The kinds are those below and no other's.
pub trait Kind: sealed::Sealed + Send + Sync + 'static {
    /// For people: `refresh token`.
    const NAME: &'static str;
}

mod sealed {
    /// What keeps a kind from being made elsewhere.
    pub trait Sealed {}
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl Kind for $name { const NAME: &'static str = $text; }
    )*};
}

kinds! {
    /// A signed or opaque token that an API accepts.
    AccessToken = "access token";
    /// Trades itself for the next one and an access token.
    RefreshToken = "refresh token";
    /// An authorization code (RFC 6749, section 4.1).
    AuthorizationCode = "authorization code";
    /// A device code (RFC 8628).
    DeviceCode = "device code";
    /// A PKCE code verifier (RFC 7636).
    CodeVerifier = "code verifier";
    /// What a browser's cookie holds.
    WebCookie = "web cookie";
    /// A one-time link's secret part.
    OneTimeLink = "one-time link";
    /// A client's secret (RFC 6749, section 2.3.1).
    ClientSecret = "client secret";
    /// An API key.
    ApiKey = "API key";
    /// What clients register themselves with (RFC 7591, section 3).
    InitialAccessToken = "initial access token";
    /// What a client manages its registration with (RFC 7592, section 3).
    RegistrationToken = "registration access token";
    /// Key material.
    KeyMaterial = "key";
    /// What a person types to open their vault.
    Passphrase = "passphrase";
    /// A user code (RFC 8628, section 6.1).
    UserCode = "user code";
    /// A signed assertion about a client or principal.
    Assertion = "assertion";
    /// An ID token (OIDC Core).
    IdToken = "ID token";
    /// Text that may be a secret of any kind: it is compared, and its file does not say.
    Candidate = "candidate";
}

/// A value whose possession is proof.
///
/// It cannot be printed, serialized, copied or compared, and is wiped on drop. `expose` is the one way in,
/// so every use of a secret is found by searching for that word.
pub struct Secret<K: Kind>(Zeroizing<Box<[u8]>>, PhantomData<K>);

impl<K: Kind> Secret<K> {
    /// Takes the bytes over. The caller keeps no other copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes.into_boxed_slice()), PhantomData)
    }

    /// Takes the text over. The caller keeps no other copy.
    pub fn from_text(text: String) -> Self {
        Self::new(text.into_bytes())
    }

    /// The bytes themselves. SECURITY: whatever they are put into must be wiped or sent, never kept or printed.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text.
    ///
    /// # Panics
    /// Never for secrets made by `from_text`; for others the caller knows that they are UTF-8.
    pub fn expose_text(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a secret read as text was made from text")
    }

    /// The secret as text, if it is that: for one that came from outside.
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether the two are the same bytes, in time that depends only on their lengths.
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }

    /// What may be kept in its place: enough to recognise it, not to use it.
    pub fn fingerprint(&self, pepper: &Pepper) -> Fingerprint {
        pepper.fingerprint::<K>(self.expose())
    }
}

impl<K: Kind> fmt::Debug for Secret<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} secret>", K::NAME)
    }
}

/// The key under which the store fingerprints random secrets. Derived from the key-encryption key, so a copy
/// of the database alone cannot even test a guess.
pub struct Pepper(hmac::Key);

impl Pepper {
    /// From 32 bytes of key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The fingerprint of `secret` as a secret of kind `K`: the same bytes as another kind give another.
    pub fn fingerprint<K: Kind>(&self, secret: &[u8]) -> Fingerprint {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(K::NAME.as_bytes());
        context.update(&[0]);
        context.update(secret);
        Fingerprint(context.sign().as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<pepper>")
    }
}

/// The keyed hash of a secret: may be stored, logged and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Whether the two are the same, in time that depends on nothing in them.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_names_the_kind_and_nothing_else() {
        let secret = Secret::<RefreshToken>::from_text("hpr_canary".into());
        assert_eq!(format!("{secret:?}"), "<refresh token secret>");
        assert!(!format!("{:?}", Pepper::new(&[7; 32])).contains('7'));
    }

    #[test]
    fn a_fingerprint_depends_on_the_kind_and_the_pepper() {
        let (one, two) = (Pepper::new(&[1; 32]), Pepper::new(&[2; 32]));
        let code = one.fingerprint::<DeviceCode>(b"x");
        assert_eq!(code, one.fingerprint::<DeviceCode>(b"x"));
        assert_ne!(code, one.fingerprint::<AuthorizationCode>(b"x"));
        assert_ne!(code, two.fingerprint::<DeviceCode>(b"x"));
    }
}
