//! `serve --metrics-listen`: what Prometheus reads, and what it never learns.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;

use crate::program::{Server, answer, run};

fn ask(at: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n").unwrap();
    let whole = answer(stream);
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The exposition, read as strictly as Prometheus reads it: each sample below its family's kind, each name and label once, each
/// value a number.
fn read(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut family) = (BTreeMap::new(), None);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            family = Some(name.to_owned());
            continue;
        }
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.split_once(' ').is_some_and(|(_, words)| !words.is_empty()), "{line}");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let name = sample.split('{').next().unwrap();
        assert!(name.starts_with(family.as_deref().unwrap()), "{name} in {family:?}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        let before = samples.insert(sample.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")));
        assert!(before.is_none(), "twice: {sample}");
    }
    samples
}

#[test]
fn the_server_counts_what_it_answers_and_names_nobody() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &["--metrics-listen", "127.0.0.1:0"]).with_org();
    let at = server.metrics.clone().expect("it says where");
    let (head, before) = ask(&at, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
    let before = read(&before);
    assert!(before["process_resident_memory_bytes"] > 1e6 && before["hallpass_ledger_entries"] > 0.0);

    for _ in 0..3 {
        server.get("/acme/jwks");
    }
    server.get("/no/such/place/for/ada");
    let mut stream = TcpStream::connect(&server.listen).unwrap();
    let form = "grant_type=refresh_token&client_id=hallpass-cli&refresh_token=hpr_canary";
    let length = form.len();
    write!(
        stream,
        "POST /acme/token HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{form}",
        server.listen
    )
    .unwrap();
    assert!(answer(stream).contains("invalid_grant"));

    let (_, text) = ask(&at, "/metrics");
    let after = read(&text);
    let of = |route: &str, status: &str| {
        let method = if route == "none" {
            "any"
        } else if route.ends_with("token") {
            "POST"
        } else {
            "GET"
        };
        let name = "hallpass_http_requests_total";
        after[&format!(r#"{name}{{route="{route}",method="{method}",status="{status}"}}"#)]
    };
    assert_eq!((of("/{org}/jwks", "2xx"), of("none", "4xx"), of("/{org}/token", "4xx")), (3.0, 1.0, 1.0));
    assert_eq!(after[r#"hallpass_grants_total{grant_type="refresh_token",outcome="invalid_grant"}"#], 1.0);
    let duration = |end: &str| {
        let name = "hallpass_http_request_duration_seconds";
        after[&format!(r#"{name}_bucket{{route="/{{org}}/jwks",method="GET",le="{end}"}}"#)]
    };
    assert!(duration("0.0005") <= duration("10") && duration("10") <= duration("+Inf"));
    assert_eq!(duration("+Inf"), 3.0);
    for nobodys in ["ada", "acme", "canary", "hpr_", "hallpass-cli", "prn_", "127.0.0.1", "no/such"] {
        assert!(!text.contains(nobodys), "{nobodys}: {text}");
    }
    // Nothing else is there, and it is not among the endpoints.
    assert!(ask(&at, "/acme/jwks").0.starts_with("HTTP/1.1 404"));
    assert!(server.get("/metrics").starts_with("HTTP/1.1 404"));
    let (status, _) = {
        server.signal(rustix::process::Signal::TERM);
        server.end()
    };
    assert!(status.success());
}

#[test]
fn a_place_for_metrics_that_is_none_is_said() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let serve = |at: &str| {
        run(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), "--metrics-listen", at])
    };
    serve("everywhere").failed(2, &["metrics_listen", "127.0.0.1:9484"]);
    serve("192.0.2.1:1").failed(70, &["cannot be listened on for metrics", "--metrics-listen"]);
    assert!(Server::start(root.path(), &[]).metrics.is_none(), "off unless it is asked for");
}
