//! The protocol of docker's credential helpers, as docker, podman, skopeo and buildah speak it: one word as argument, a bare
//! server name or JSON on standard input, and everything, errors too, on standard output.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Handed, Malformed, Place, QUESTION_LEN_MAX};

/// Not ours, or nothing there. Clients compare the text.
pub const NOT_FOUND: &str = "credentials not found in native keychain";
/// Clients compare this one, too.
pub const NO_SERVER: &str = "no credentials server URL";
/// And this.
pub const NO_USERNAME: &str = "no credentials username";
/// A name that makes clients take the secret for a refresh token, and send it elsewhere: never used.
pub const REFRESH_TOKEN_USERNAME: &str = "<token>";

/// Which registry is meant, with `get` and `erase`: a bare name, or an address.
pub fn server(bytes: &[u8]) -> Result<String, Malformed> {
    if bytes.len() > QUESTION_LEN_MAX {
        return Err(Malformed("the server's name is too long"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed("the server's name is not text"))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Malformed(NO_SERVER));
    }
    Ok(text.to_owned())
}

/// Whether a registry's credential may go to what the client calls `server`.
pub fn is_for(place: &Place, server: &str) -> bool {
    match server.parse::<Place>() {
        Ok(asked) => place.same_server(&asked),
        Err(_) => place.is_named(server),
    }
}

/// What `get` answers.
pub fn answer(server: &str, handed: &Handed<'_>) -> Option<Zeroizing<Vec<u8>>> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<'a> {
        #[serde(rename = "ServerURL")]
        server: &'a str,
        username: &'a str,
        secret: &'a str,
    }
    let secret = handed.line()?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(secret.len() + server.len() * 6 + 1024));
    let answer = Answer { server, username: handed.username, secret };
    serde_json::to_writer(&mut *bytes, &answer).expect("three texts are JSON");
    bytes.push(b'\n');
    Some(bytes)
}

/// Which registry `store` is about. What is to be stored is not kept: it is wiped here.
pub fn stored(bytes: &[u8]) -> Result<String, Malformed> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Stored {
        #[serde(rename = "ServerURL", default)]
        server: String,
        #[serde(default)]
        username: String,
        #[serde(default)]
        secret: Zeroizing<String>,
    }
    if bytes.len() > QUESTION_LEN_MAX {
        return Err(Malformed("the credential is too long"));
    }
    let stored: Stored =
        serde_json::from_slice(bytes).map_err(|_| Malformed("the credential is not JSON"))?;
    drop(stored.secret);
    match (stored.server.trim(), stored.username.as_str()) {
        ("", _) => Err(Malformed(NO_SERVER)),
        (_, "") => Err(Malformed(NO_USERNAME)),
        (server, _) => Ok(server.to_owned()),
    }
}

/// What `list` answers: registries and names, and never anything secret, since callers fetch and print all of it.
pub fn list<'a>(registries: impl Iterator<Item = (&'a Place, &'a str)>) -> String {
    let each: BTreeMap<String, &str> =
        registries.map(|(place, username)| (place.authority(), username)).collect();
    serde_json::to_string(&each).expect("texts are JSON")
}

#[cfg(test)]
mod tests {
    use hallpass_model::secret::{AccessToken, Secret};
    use hallpass_model::time::Timestamp;

    use super::*;

    #[test]
    fn the_answer_has_the_three_members_clients_read() {
        let token: Secret<AccessToken> = Secret::from_text("t0ken".into());
        let handed = Handed { token: &token, username: "ada", expires: Timestamp::from_seconds(9) };
        let bytes = answer("registry.example:5000", &handed).unwrap();
        assert_eq!(
            bytes.as_slice(),
            b"{\"ServerURL\":\"registry.example:5000\",\"Username\":\"ada\",\"Secret\":\"t0ken\"}\n"
        );
    }

    #[test]
    fn a_registry_is_known_by_its_exact_name_or_address() {
        let place: Place = "https://registry.example:5000".parse().unwrap();
        for same in
            ["registry.example:5000", "https://registry.example:5000", "https://registry.example:5000/v1/"]
        {
            assert!(is_for(&place, same), "{same}");
        }
        for other in [
            "registry.example",
            "http://registry.example:5000",
            "registry.example:5000.evil",
            "evil/registry.example:5000",
            "registry.example:5000@evil",
            "REGISTRY.example:5000",
        ] {
            assert!(!is_for(&place, other), "{other}");
        }
    }

    #[test]
    fn missing_members_are_told_in_the_words_clients_compare() {
        assert_eq!(server(b" \n").unwrap_err().to_string(), NO_SERVER);
        assert_eq!(server(b"registry.example\n").unwrap(), "registry.example");
        let refused = |text: &str| stored(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(refused(r#"{"Username":"a","Secret":"canary"}"#), NO_SERVER);
        assert_eq!(refused(r#"{"ServerURL":"r","Secret":"canary"}"#), NO_USERNAME);
        assert!(!refused(r#"{"ServerURL":"r","Secret":"canary""#).contains("canary"));
        assert_eq!(stored(br#"{"ServerURL":"r","Username":"a","Secret":"s"}"#).unwrap(), "r");
        assert!(server(&[0xff]).is_err() && stored(&vec![b'['; QUESTION_LEN_MAX + 1]).is_err());
    }

    #[test]
    fn the_listing_names_registries_and_nothing_secret() {
        let places: Vec<Place> =
            ["https://b.example", "https://a.example:5000"].map(|text| text.parse().unwrap()).into();
        let listed = list(places.iter().map(|place| (place, "ada")));
        assert_eq!(listed, r#"{"a.example:5000":"ada","b.example":"ada"}"#);
    }
}
