//! Bytes over TLS: what is trusted, what is bounded, what is never done.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use hallpass_model::secret::{AccessToken, KeyMaterial, Secret};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Form;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Certificate, Client, ClientBuilder, Method, redirect};
use url::{Host, Url};
use zeroize::Zeroizing;

use super::{CONNECT_TIME_OUT, Fields, NoAnswer};

/// A body at most, in bytes: metadata, key sets and token answers are far below, and nobody may fill our memory.
const BODY_LEN_MAX: usize = 512 * 1024;
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
/// What stands beside this machine answers at once, or is not there.
const BESIDE_TIME_OUT: Duration = Duration::from_secs(5);
/// Who asks, where that is the holder itself.
const USER_AGENT: &str = concat!("hallpass/", env!("CARGO_PKG_VERSION"));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const XML: HeaderValue = HeaderValue::from_static("text/xml");

/// What is trusted besides the system's certificates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// A file of PEM certificates.
    pub(crate) ca_file: Option<PathBuf>,
    /// Nothing goes through a proxy, whatever the environment says.
    pub(crate) no_proxy: bool,
}

/// The connections to providers.
pub(crate) struct Transport {
    trust: Trust,
    /// Through the person's proxy, if there is one. Made when first used: reading the system's certificates takes
    /// some milliseconds.
    far: OnceLock<Client>,
    /// To this very machine, never through a proxy: plain http would show it everything.
    near: OnceLock<Client>,
}

/// A request on its way.
pub(super) struct Outgoing<'a> {
    pub(super) proof: Option<String>,
    pub(super) token: Option<&'a str>,
    pub(super) basic: Option<(&'a str, &'a Secret<KeyMaterial>)>,
    pub(super) prefer: Option<String>,
    pub(super) time_out: Duration,
    pub(super) xml: bool,
}

/// An answer, read whole. The body is wiped when dropped.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// Whether the server held it back as we asked (`Preference-Applied: wait=`, RFC 7240).
    pub(crate) held: bool,
    pub(super) nonce: Option<String>,
    pub(super) date: Option<Timestamp>,
    pub(super) challenge_wants_nonce: bool,
    /// It is a form, though JSON was asked for.
    is_form: bool,
}

/// The header without which a metadata service answers nobody: no web page can send it to another's address.
#[derive(Clone, Copy)]
pub(crate) enum BesideHeader<'a> {
    /// `Metadata-Flavor: Google`.
    Google,
    /// `Metadata: true`.
    Azure,
    /// `X-IDENTITY-HEADER`, with a key of the application's own.
    AzureApp(&'a Secret<KeyMaterial>),
}

impl Answer {
    /// As JSON, also where it came as a form: some providers from before RFC 6749 still answer so.
    pub(super) fn in_json(mut self) -> Self {
        if self.is_form
            && let Ok(form) = Form::parse(&self.body)
        {
            let members: BTreeMap<&str, &str> =
                form.names().filter_map(|name| Some((name, form.find(name)?))).collect();
            // Room for all of it at once, escapes and all: growing would leave copies behind.
            let mut body = Zeroizing::new(Vec::with_capacity(2 * self.body.len() + 1024));
            serde_json::to_writer(&mut *body, &members).expect("names and values are text");
            self.body = body;
        }
        self
    }
}

impl Transport {
    pub(super) fn new(trust: Trust) -> Self {
        Self { trust, far: OnceLock::new(), near: OnceLock::new() }
    }

    #[cfg(feature = "client")]
    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Sends one request and reads its answer whole.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &Url,
        form: Option<&Fields>,
        outgoing: Outgoing<'_>,
    ) -> Result<Answer, NoAnswer> {
        let mut request = self.client(url)?.request(method, url.clone()).timeout(outgoing.time_out);
        request = request.header(ACCEPT, if outgoing.xml { XML } else { JSON });
        if let Some(form) = form {
            request = request.header(CONTENT_TYPE, FORM).body(form.body());
        }
        if let Some(token) = outgoing.token {
            let scheme = if outgoing.proof.is_some() { "DPoP" } else { "Bearer" };
            request = request.header(AUTHORIZATION, secret_header(&format!("{scheme} {token}"))?);
        }
        if let Some((client, secret)) = outgoing.basic {
            // RFC 6749, section 2.3.1: both are form-encoded before they go into the header.
            let escaped =
                |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(escaped(client), Some(escaped(secret.expose_text())));
        }
        if let Some(proof) = outgoing.proof {
            request = request.header("DPoP", secret_header(&proof)?);
        }
        if let Some(prefer) = outgoing.prefer {
            request = request.header("Prefer", prefer);
        }
        let response = request.send().await.map_err(unreachable)?;
        read(response).await
    }

    /// Asks what stands beside this machine: a cloud's metadata service, which has no TLS.
    pub(super) async fn beside(&self, url: &Url, header: BesideHeader<'_>) -> Result<Answer, NoAnswer> {
        // SECURITY: what it gives is a bearer secret, in plain: it is asked where no packet is routed to (RFC 3927), and
        // nowhere else, and never through a proxy.
        if url.scheme() != "http" || !is_beside(url) {
            let why = format!(
                "the metadata service `{url}` is neither link-local nor this machine, and is not asked"
            );
            return Err(NoAnswer::NotSent { why });
        }
        let client = self.near()?;
        let (name, value) = match header {
            BesideHeader::Google => ("Metadata-Flavor", HeaderValue::from_static("Google")),
            BesideHeader::Azure => ("Metadata", HeaderValue::from_static("true")),
            BesideHeader::AzureApp(key) => ("X-IDENTITY-HEADER", secret_header(key.expose_text())?),
        };
        let request = client.get(url.clone()).timeout(BESIDE_TIME_OUT).header(name, value);
        read(request.send().await.map_err(unreachable)?).await
    }

    /// Sends a request whose answer stays open: no time-out for the whole, but one for silence.
    pub(super) async fn open(
        &self,
        url: &Url,
        form: &Fields,
        token: &Secret<AccessToken>,
        quiet_at_most: Duration,
    ) -> Result<reqwest::Response, NoAnswer> {
        let request = self
            .client(url)?
            .post(url.clone())
            .header(CONTENT_TYPE, FORM)
            .header(AUTHORIZATION, secret_header(&format!("Bearer {}", token.expose_text()))?)
            .body(form.body());
        let sent = tokio::time::timeout(quiet_at_most, request.send());
        let silent = || NoAnswer::Unreachable { why: "it did not answer in time".into() };
        let response = sent.await.map_err(|_| silent())?.map_err(unreachable)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = tokio::time::timeout(quiet_at_most, read(response)).await.map_err(|_| silent())??;
        match hallpass_model::wire::errors::OAuthErrorBody::parse(&answer.body) {
            Some(body) if answer.status < 500 && answer.status != 429 => {
                Err(NoAnswer::Refused { body, held: false })
            }
            _ => Err(NoAnswer::Unreachable { why: format!("it answered {}", answer.status) }),
        }
    }

    /// The same for a stream that is read: the answer itself, where it is none.
    pub(super) async fn listen(
        &self,
        url: &Url,
        token: &Secret<AccessToken>,
        proof: String,
        quiet_at_most: Duration,
    ) -> Result<Result<reqwest::Response, Answer>, NoAnswer> {
        let request = self
            .client(url)?
            .get(url.clone())
            .header(ACCEPT, "text/event-stream")
            .header(AUTHORIZATION, secret_header(&format!("DPoP {}", token.expose_text()))?)
            .header("DPoP", secret_header(&proof)?);
        let silent = || NoAnswer::Unreachable { why: "it did not answer in time".into() };
        let sent = tokio::time::timeout(quiet_at_most, request.send());
        let response = sent.await.map_err(|_| silent())?.map_err(unreachable)?;
        if response.status() == 200 {
            return Ok(Ok(response));
        }
        let answer = tokio::time::timeout(quiet_at_most, read(response)).await.map_err(|_| silent())??;
        Ok(Err(answer))
    }

    fn client(&self, url: &Url) -> Result<&Client, NoAnswer> {
        let near = is_loopback(url);
        // SECURITY: metadata and flags were judged before; this is the last door, for every request there is.
        if url.scheme() != "https" && !near {
            return Err(NoAnswer::Unexpected { what: "an address that is not https".into() });
        }
        if near { self.near() } else { self.kept(&self.far, false) }
    }

    fn near(&self) -> Result<&Client, NoAnswer> {
        self.kept(&self.near, true)
    }

    fn kept<'a>(&self, slot: &'a OnceLock<Client>, near: bool) -> Result<&'a Client, NoAnswer> {
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = self.build(near).map_err(|why| NoAnswer::NotSent { why })?;
        Ok(slot.get_or_init(|| client))
    }

    fn build(&self, near: bool) -> Result<Client, String> {
        let builder = self.trust.client(near)?.user_agent(USER_AGENT);
        builder.build().map_err(|error| words(&error))
    }
}

impl Trust {
    /// A client that trusts whom it shall, and follows nobody. `near` is for this very machine.
    pub(crate) fn client(&self, near: bool) -> Result<ClientBuilder, String> {
        let builder = Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            // A connection a request: what comes on it is that request's answer and no other's. On one that is used again,
            // bytes that something in between sends twice are taken for the next answer, and the token in that is lost.
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIME_OUT);
        let named = self.named_certificates()?;
        Ok(match near {
            // Nothing here is asked to trust anything over plain http, and a machine without any certificates of its own
            // can still speak to itself.
            true => builder.no_proxy().tls_certs_only(named),
            false if self.no_proxy => builder.no_proxy().tls_certs_merge(named),
            false => builder.tls_certs_merge(named),
        })
    }

    /// What is trusted besides the system's. A file that was named and cannot be used is an error, not less trust.
    fn named_certificates(&self) -> Result<Vec<Certificate>, String> {
        let Some(path) = &self.ca_file else { return Ok(Vec::new()) };
        let named = |why: String| format!("the certificates in `{}`: {why}", path.display());
        let pem = std::fs::read(path).map_err(|error| named(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| named(error.to_string()))?;
        if certificates.is_empty() {
            return Err(named("there is none".into()));
        }
        Ok(certificates)
    }
}

/// Reads an answer, at most so much of it.
async fn read(mut response: reqwest::Response) -> Result<Answer, NoAnswer> {
    let headers = response.headers();
    let mut answer = Answer {
        status: response.status().as_u16(),
        body: Zeroizing::new(Vec::with_capacity(8 * 1024)),
        held: text(headers, "preference-applied").is_some_and(|applied| applied.contains("wait")),
        nonce: text(headers, "dpop-nonce")
            .filter(|nonce| nonce.len() <= hallpass_model::wire::dpop::NONCE_LEN_MAX)
            .map(str::to_owned),
        date: headers.get(DATE).and_then(|date| date.to_str().ok()).and_then(http_date),
        challenge_wants_nonce: headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .any(|challenge| challenge.to_str().is_ok_and(|text| text.contains("use_dpop_nonce"))),
        is_form: text(headers, "content-type").is_some_and(Form::is_content_type),
    };
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if answer.body.len() + chunk.len() > BODY_LEN_MAX {
            return Err(NoAnswer::Unexpected { what: format!("more than {BODY_LEN_MAX} bytes") });
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The time that a `Date` header says (RFC 9110, section 6.6.1).
pub fn http_date(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_seconds(i64::try_from(since.as_secs()).ok()?))
}

/// SECURITY: marked, so that no debug output of a header map shows it.
fn secret_header(text: &str) -> Result<HeaderValue, NoAnswer> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| NoAnswer::Unexpected { what: "a token that does not fit into a header".into() })?;
    value.set_sensitive(true);
    Ok(value)
}

fn unreachable(error: reqwest::Error) -> NoAnswer {
    NoAnswer::Unreachable { why: words(&error) }
}

/// The innermost cause: what a person can act on. SECURITY: without the address, which may hold a code.
pub(crate) fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    hallpass_model::purpose::plain(&cause.to_string(), 200)
}

/// Whether an address leads to this very machine in plain http: a loopback literal, or the name `localhost`, which
/// resolves to nothing else (RFC 6761, section 6.3).
pub(crate) fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
}

/// Whether an address leads no further than the next machine: link-local (RFC 3927, and RFC 4291, section 2.5.6), or this one.
fn is_beside(url: &Url) -> bool {
    is_loopback(url)
        || match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_link_local(),
            Some(Host::Ipv6(ip)) => ip.is_unicast_link_local(),
            Some(Host::Domain(_)) | None => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_leads_to_this_machine_only() {
        for (address, here) in [
            ("http://localhost:8080/acme", true),
            ("http://127.0.0.1/", true),
            ("http://[::1]:9/", true),
            ("http://localhost.evil.example/", false),
            ("http://10.0.0.1/", false),
            ("http://127.0.0.1.evil.example/", false),
            ("https://localhost/", false),
        ] {
            assert_eq!(is_loopback(&address.parse().unwrap()), here, "{address}");
        }
        let transport = Transport::new(Trust::default());
        assert!(transport.client(&"http://id.example/".parse().unwrap()).is_err());
    }

    #[test]
    fn a_missing_or_empty_file_of_certificates_is_said_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        for path in [folder.path().join("none.pem"), empty] {
            let trust = Trust { ca_file: Some(path.clone()), no_proxy: false };
            let why = trust.client(false).unwrap_err();
            assert!(why.contains(path.to_str().unwrap()), "{why}");
        }
    }

    /// On a connection that is used again, an answer that comes twice would be taken for the next request's.
    #[tokio::test]
    async fn each_request_has_a_connection_of_its_own() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let server = tokio::spawn(async move {
            for number in 1..=3 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}");
                stream.write_all(answer.repeat(2).as_bytes()).await.unwrap();
                // Its own is open still: it is not for the want of a connection that another is made.
                tokio::spawn(async move { while let Ok(1..) = stream.read(&mut request).await {} });
            }
        });
        let transport = Transport::new(Trust::default());
        for number in ["1", "2", "3"] {
            let outgoing = Outgoing {
                proof: None,
                token: None,
                basic: None,
                prefer: None,
                time_out: CONNECT_TIME_OUT,
                xml: false,
            };
            let Ok(answer) = transport.send(Method::GET, &url, None, outgoing).await else { panic!() };
            assert_eq!(std::str::from_utf8(&answer.body).unwrap(), number);
        }
        server.await.unwrap();
    }

    #[test]
    fn the_server_s_date_is_read() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Timestamp::from_seconds(784_111_777)));
        assert_eq!(http_date("yesterday"), None);
    }
}
