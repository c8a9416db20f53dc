//! What went through the proxy, and what it says of tokens: their names, how long they live, how far they reach.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, header};
use serde_json::Value;
use zeroize::Zeroizing;

use super::secrets::{self, Kind, Text, Token};

/// Of a request or an answer so much is kept, in bytes: those with tokens in them are small.
const KEPT_MAX: usize = 1024 * 1024;

/// What went through.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) exchanges: Vec<Arc<Mutex<Exchange>>>,
    /// Hosts and ports where the tool did not trust the run's certificates.
    pub(super) refused: BTreeSet<String>,
}

/// A request and its answer. SECURITY: wiped when dropped, and never shown, hence no `Debug`.
pub(super) struct Exchange {
    address: Text,
    headers: Zeroizing<String>,
    asked: Zeroizing<String>,
    answered_headers: Zeroizing<String>,
    answered: Zeroizing<Vec<u8>>,
}

/// A token as its issuer handed it out (RFC 6749, section 5.1).
pub(super) struct Issued {
    pub(super) access: Text,
    /// How long it lives, in seconds, as its issuer says.
    pub(super) expires_in: Option<i64>,
    pub(super) scope: Option<String>,
}

impl Exchange {
    pub(super) fn new(address: &str, headers: &HeaderMap, body: &[u8]) -> Self {
        Self {
            address: address.to_owned().into(),
            headers: text_of(headers),
            asked: Zeroizing::new(String::from_utf8_lossy(&body[..body.len().min(KEPT_MAX)]).into_owned()),
            answered_headers: Zeroizing::default(),
            answered: Zeroizing::default(),
        }
    }

    /// Notes the head of the answer.
    pub(super) fn answered(&mut self, headers: &HeaderMap) {
        self.answered_headers = text_of(headers);
    }

    /// Notes a part of the answer's body.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        let room = KEPT_MAX.saturating_sub(self.answered.len());
        self.answered.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn tokens(&self) -> BTreeSet<Token> {
        let mut found = secrets::find(&String::from_utf8_lossy(&self.answered));
        for text in [&self.headers, &self.asked, &self.answered_headers] {
            found.extend(secrets::find(text));
        }
        found.extend(self.in_address());
        found.extend(self.bearer());
        found
    }

    /// Tokens in the address itself, where every log on the way has them (RFC 6750, section 5.3).
    fn in_address(&self) -> BTreeSet<Token> {
        let url = url::Url::parse(&self.address).ok();
        let named = url
            .iter()
            .flat_map(|url| url.query_pairs())
            .flat_map(|(name, value)| secrets::find(&format!("{name}={}", &*value)));
        named.chain(secrets::find(&self.address)).collect()
    }

    /// The token that the request came with, whatever it looks like (RFC 6750, section 2.1; RFC 9449, section 7.1).
    fn bearer(&self) -> Option<Token> {
        let line = self.headers.lines().find_map(|line| line.strip_prefix("authorization: "))?;
        let (scheme, token) = line.split_once(' ')?;
        let is_token = ["bearer", "dpop", "token"].iter().any(|one| scheme.eq_ignore_ascii_case(one));
        (is_token && token.len() >= secrets::LEN_MIN)
            .then(|| Token { kind: Kind::Access, text: token.trim().to_owned().into() })
    }

    fn issued(&self) -> Option<Issued> {
        let answer: Value = serde_json::from_slice(&self.answered).ok()?;
        let access = answer.get("access_token")?.as_str()?;
        let expires_in = answer.get("expires_in").and_then(|value| match value {
            // Some providers write it as a text.
            Value::String(text) => text.parse().ok(),
            number => number.as_f64().map(|number| number as i64),
        });
        let scope = answer.get("scope").and_then(Value::as_str).map(str::to_owned);
        Some(Issued { access: access.to_owned().into(), expires_in, scope })
    }
}

impl Traffic {
    fn each<T>(&self, of: impl Fn(&Exchange) -> T) -> Vec<T> {
        self.exchanges.iter().map(|one| of(&one.lock().expect("nobody panics holding this"))).collect()
    }

    /// All the tokens that were sent or received.
    pub(super) fn tokens(&self) -> BTreeSet<Token> {
        self.each(Exchange::tokens).into_iter().flatten().collect()
    }

    /// The kinds of those that stood in an address.
    pub(super) fn in_addresses(&self) -> BTreeSet<Kind> {
        self.each(Exchange::in_address).into_iter().flatten().map(|token| token.kind).collect()
    }

    /// Those that an issuer handed out.
    pub(super) fn issued(&self) -> Vec<Issued> {
        self.each(Exchange::issued).into_iter().flatten().collect()
    }

    /// Why the tool's traffic was not seen, if it was not.
    pub(super) fn blind(&self) -> Option<String> {
        if !self.refused.is_empty() {
            let hosts: Vec<_> = self.refused.iter().map(String::as_str).collect();
            return Some(format!(
                "it trusts certificates of its own at {}, so what it said there was not seen",
                hosts.join(", ")
            ));
        }
        self.exchanges
            .is_empty()
            .then(|| "nothing of it went by the proxy that its environment named".to_owned())
    }
}

/// One header a line.
fn text_of(headers: &HeaderMap) -> Zeroizing<String> {
    let mut text = String::new();
    // A cookie's or a proof's own form is not that of a token; what stands in them is found by its form all the same.
    for (name, value) in headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    Zeroizing::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(address: &str, answer: &str) -> Exchange {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Bearer opaque-0123456789".parse().unwrap());
        let mut exchange = Exchange::new(address, &headers, b"");
        exchange.hear(answer.as_bytes());
        exchange
    }

    #[test]
    fn what_an_issuer_says_of_a_token_is_read() {
        let answer = r#"{"access_token": "at-0123456789abcdef", "expires_in": "300", "scope": "a b"}"#;
        let exchange = exchange("https://id.example/token", answer);
        let issued = exchange.issued().unwrap();
        assert_eq!((issued.expires_in, issued.scope.as_deref()), (Some(300), Some("a b")));
        let texts: Vec<_> = exchange.tokens().iter().map(|token| token.text.to_string()).collect();
        assert_eq!(texts, ["at-0123456789abcdef", "opaque-0123456789"]);
    }

    #[test]
    fn a_token_in_an_address_is_found() {
        let mut traffic = Traffic::default();
        assert!(traffic.blind().unwrap().contains("by the proxy"));
        let address = "https://api.example/notes?access_token=at-0123456789abcdef&page=2";
        traffic.exchanges.push(Arc::new(Mutex::new(exchange(address, ""))));
        assert_eq!(traffic.in_addresses().len(), 1);
        assert!(traffic.blind().is_none());
        traffic.refused.insert("id.example:443".into());
        assert!(traffic.blind().unwrap().contains("id.example:443"));
    }

    #[test]
    fn an_answer_without_end_is_kept_in_part() {
        let mut exchange = exchange("https://api.example/", "");
        for _ in 0..3 {
            exchange.hear(&vec![b'x'; KEPT_MAX / 2]);
        }
        assert_eq!(exchange.answered.len(), KEPT_MAX);
    }
}
