//! npm's oidc-provider (`tests/interop/bench-provider.mjs` says how it is set up, and why so).

use std::fs::{self, File};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::clients::client_jwks;
use crate::http::ask_once;
use crate::side::{Question, Server, free_port};

/// Starts it and opens its sessions through its own models.
pub(crate) fn start(sessions: usize, signed: bool) -> Result<Server, Failure> {
    let folder = tempfile::Builder::new().prefix("hallpass-bench-").tempdir()?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut command = Command::new("tests/interop/node");
    command
        .arg("tests/interop/bench-provider.mjs")
        .arg(address.rsplit(':').next().unwrap_or_default())
        .args(signed.then_some("signed"))
        .env("NODE_ENV", "production")
        .env("BENCH_CLIENT_JWKS", client_jwks())
        .stdin(Stdio::piped()) // it ends when this closes
        .stdout(Stdio::null())
        .stderr(File::create(folder.path().join("log"))?);
    let refresh = Question {
        head: head(&address, "/token", ""),
        form: "grant_type=refresh_token&client_id=bench-cli&refresh_token=".to_owned(),
        tokens: folder.path().join("refresh-tokens"),
    };
    let server =
        Server::launch(command, address, "/.well-known/openid-configuration", folder, refresh, sessions)?;
    if sessions > 0 {
        let tokens = seed(&server, "sessions", sessions)?;
        fs::write(&server.refresh.tokens, tokens)?;
    }
    Ok(server)
}

/// Issues access tokens; the caller shows its secret by HTTP Basic, as there is no other cheap way that it knows.
pub(crate) fn introspection(server: &Server, tokens: usize) -> Result<Question, Failure> {
    let file = server.folder.path().join(format!("access-tokens-{tokens}"));
    fs::write(&file, seed(server, "tokens", tokens)?)?;
    Ok(Question {
        head: head(
            &server.address,
            "/token/introspection",
            "Authorization: Basic YmVuY2gtYXBpOmJlbmNoLXNlY3JldA==\r\n",
        ),
        form: "token_type_hint=access_token&token=".to_owned(),
        tokens: file,
    })
}

/// Its issuer's identifier.
pub(crate) fn issuer_of(server: &Server) -> String {
    format!("http://{}", server.address)
}

fn seed(server: &Server, what: &str, number: usize) -> Result<Vec<u8>, Failure> {
    match ask_once(&server.address, "POST", &format!("/bench/{what}/{number}"))? {
        (200, lines) => Ok(lines),
        (status, body) => Err(format!("seeding {what}: {status} {}", String::from_utf8_lossy(&body)).into()),
    }
}

fn head(address: &str, path: &str, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\n{more}"
    )
}
