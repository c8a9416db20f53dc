//! Requests that nobody means well with: where two readers could see two requests, the API sees one or none, and the token
//! goes to no other host.

use super::Place;
use super::raw::status;
use crate::holder::behind::Api;

#[tokio::test]
async fn a_request_that_could_be_read_in_two_ways_reaches_the_api_in_one_or_not_at_all() {
    let place = Place::over_http().await;
    let refused = [
        "POST {path}/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST {path}/b HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
        "POST {path}/c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST {path}/d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST {path}/e HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET {path}/f HTTP/1.1\r\nHost: x\r\nX-Folded: a\r\n b\r\n\r\n",
        "GET {path}/g HTTP/1.1\r\nHost: x\r\nX-Injects: a\rAuthorization: Bearer own\r\n\r\n",
        "GET {path}/h HTTP/1.1\r\nHost: x\r\nX-Nul: a\0b\r\n\r\n",
        "GET {path}/i HTTP/1.1\r\nHost: x\r\nX-Space : a\r\n\r\n",
        "GET {path}/j HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET {path}/k HTTP/3.0\r\nHost: x\r\n\r\n",
    ];
    for (request, answer) in refused.iter().zip(place.send_raw(&[], &refused).await) {
        assert_eq!(status(&answer), "400", "{request:?}: {answer:?}");
    }
    assert_eq!(place.api.seen().len(), 0);

    // Both lengths: the chunks are what counts (RFC 9112, section 6.3), and the API is told of nothing else. What follows may
    // be answered or hung up on, and is never part of the first.
    let second = "GET {path}/after HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let both = |lengths: &str| {
        format!("POST {{path}}/both HTTP/1.1\r\nHost: x\r\n{lengths}\r\n5\r\nhello\r\n0\r\n\r\n{second}")
    };
    let requests = [
        both("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
        both("Transfer-Encoding: chunked\r\nContent-Length: 400\r\n"),
    ];
    for answer in place.send_raw(&[], &[&requests[0], &requests[1]]).await {
        assert_eq!(status(&answer), "200", "{answer:?}");
    }
    let seen = place.api.seen();
    let of =
        |path: &str| seen.iter().filter(|seen| seen.path == path).map(|seen| &*seen.body).collect::<Vec<_>>();
    assert_eq!(of("/both"), [b"hello", b"hello"]);
    assert!(
        of("/after").iter().all(|body| body.is_empty())
            && of("/both").len() + of("/after").len() == seen.len()
    );
    for seen in &seen {
        let framed = ["content-length", "transfer-encoding"].map(|name| seen.headers.contains_key(name));
        assert_ne!(framed, [true, true], "{seen:?}");
    }

    // A chunk that is not as long as it says ends the conversation, and no part of it is a request of its own.
    let cut = "POST {path}/cut HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloGET {path}/smuggled HTTP/1.1\r\n\r\n";
    place.send_raw(&[], &[cut]).await;
    assert!(place.api.seen().iter().all(|seen| seen.path != "/smuggled"));
}

#[tokio::test]
async fn the_host_that_gets_the_token_is_the_one_in_the_address_whatever_the_header_says() {
    let place = Place::over_http().await;
    let other = Api::start(None).await;
    let host = |api: &Api| api.origin.trim_start_matches("http://").to_owned();
    let (named, unnamed) = (host(&place.api), host(&other));
    let with = |line: &str, host: &str| {
        format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic {{key}}\r\nConnection: close\r\n\r\n"
        )
    };
    let requests = [
        with(&format!("GET http://{named}/a"), &unnamed),
        with(&format!("GET http://{unnamed}/b"), &named),
        with(&format!("GET http://me@{named}/c"), &named),
        with(&format!("GET http://{unnamed}@{named}/d"), &named),
        with(&format!("GET https://{named}/e"), &named),
        // The proxy itself: the key in the path is what counts, and the first has none.
        with("GET /f", &named),
        with("GET {path}/../../g", &named),
        with(&format!("GET {{path}}/h?http://{unnamed}/"), &unnamed),
    ];
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    let answers = place.send_raw(&[], &requests).await;
    let statuses: Vec<&str> = answers.iter().map(|answer| status(answer)).collect();
    // A TLS address where plain http is spoken cannot be reached.
    assert_eq!(statuses, ["200", "401", "400", "400", "502", "403", "200", "200"], "{answers:?}");
    let paths = |api: &Api| api.seen().into_iter().map(|seen| seen.path).collect::<Vec<_>>();
    assert_eq!(paths(&place.api), ["/a".to_owned(), "/g".to_owned(), format!("/h?http://{unnamed}/")]);
    assert!(place.api.seen().iter().all(|seen| seen.token().is_some() && seen.headers["host"] == *named));
    assert_eq!(paths(&other), ["/b"]);
    let passed = other.last();
    assert_eq!((passed.token(), passed.headers["host"].to_str().unwrap()), (None, unnamed.as_str()));

    let only = with(&format!("GET http://{unnamed}/i"), &named);
    let tunnel = with(&format!("CONNECT {unnamed}"), &named);
    let answers =
        place.send_raw(&["--only"], &[&only, &tunnel, &with("CONNECT localhost", "localhost")]).await;
    let statuses: Vec<&str> = answers.iter().map(|answer| status(answer)).collect();
    assert_eq!((statuses, other.seen().len()), (vec!["403", "403", "400"], 1), "{answers:?}");
}

#[tokio::test]
async fn inside_a_tunnel_no_other_host_can_be_named() {
    let place = Place::over_https().await;
    let script = r#"
import base64, os, socket, ssl, urllib.parse
proxy = urllib.parse.urlsplit(os.environ['https_proxy'])
key = base64.b64encode(f'{proxy.username}:{proxy.password}'.encode()).decode()
api = urllib.parse.urlsplit(os.environ['API']).netloc
for line, host in [('/a', api), ('/b', 'evil.example'), ('https://evil.example/c', api), ('https://evil.example/d', 'evil.example'),
                   (f'http://{api}/e', 'localhost:1')]:
    s = socket.create_connection((proxy.hostname, proxy.port))
    s.sendall(f'CONNECT {api} HTTP/1.1\r\nHost: {api}\r\nProxy-Authorization: Basic {key}\r\n\r\n'.encode())
    while b'\r\n\r\n' not in s.recv(4096): pass
    s = ssl.create_default_context(cafile=os.environ['SSL_CERT_FILE']).wrap_socket(s, server_hostname='localhost')
    s.sendall(f'GET {line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n'.encode())
    print(s.recv(4096).split(b' ')[1].decode())
"#;
    std::fs::write(place.machine.path("tunnel.py"), script).unwrap();
    let said = place.run(&[], "python3 tunnel.py").await;
    assert_eq!(said.out(), "200\n421\n421\n421\n421\n", "{}", said.err());
    let paths: Vec<_> = place.api.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/a"]);
}

#[tokio::test]
async fn an_answer_in_a_coding_that_nobody_can_look_into_is_refused_wherever_it_says_so() {
    let place = Place::over_http().await;
    for path in ["/compressed", "/coded"] {
        let said = place.run(&[], &format!("curl -sS -i --raw $HALLPASS_PROXY_URL{path}")).await;
        assert!(
            said.out().starts_with("HTTP/1.1 502") && said.out().contains("compressed"),
            "{path}: {}",
            said.out()
        );
    }
}
