use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderName, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::super::machine::{Said, in_time};
use super::desk::ask;
use super::gate::{Gate, listener, serve};
use super::interop::interop;

const GIT: &str = "/usr/bin/git";

/// Repositories over HTTP, as git itself serves them, for whoever the gate lets in.
async fn git_server(gate: &Gate) -> String {
    let (listener, port) = listener().await;
    serve(listener, Router::new().fallback(backend).with_state(gate.clone()));
    let repository = gate.machine.path("served/team/notes.git");
    std::fs::create_dir_all(repository.parent().unwrap()).unwrap();
    run(gate, &["init", "-q", "--bare", "-b", "main", repository.to_str().unwrap()]).await;
    run(gate, &["-C", repository.to_str().unwrap(), "config", "http.receivepack", "true"]).await;
    format!("http://localhost:{port}")
}

/// `git http-backend`, spoken to as CGI (git-http-backend(1)).
async fn backend(State(gate): State<Gate>, request: Request) -> Response {
    if !gate.admits(request.headers()).await {
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Basic realm=\"git\"")]).into_response();
    }
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let header = |name: HeaderName| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let mut backend = gate.program(GIT, &["http-backend"]);
    backend
        .env("GIT_PROJECT_ROOT", gate.machine.path("served"))
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header(CONTENT_TYPE))
        .env("HTTP_CONTENT_ENCODING", header(CONTENT_ENCODING))
        .env("REMOTE_USER", "ada")
        .stdin(Stdio::piped());
    let mut child = backend.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&body).await.unwrap();
    let said = in_time(child.wait_with_output()).await.unwrap().stdout;
    let end = said.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in String::from_utf8(said[..end].to_vec()).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(said[end + 4..].to_vec().into()).unwrap()
}

fn git(gate: &Gate, arguments: &[&str]) -> Command {
    let mut command = gate.program(GIT, arguments);
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1");
    for name in ["GIT_AUTHOR", "GIT_COMMITTER"] {
        command.env(format!("{name}_NAME"), "Ada").env(format!("{name}_EMAIL"), "ada@example.org");
    }
    command
}

async fn run(gate: &Gate, arguments: &[&str]) {
    let said = Said(in_time(git(gate, arguments).output()).await.unwrap());
    assert_eq!(said.code(), 0, "git {arguments:?}: {}", said.err());
}

/// A person who has told git about the helper.
async fn with_git() -> Option<(Gate, String)> {
    if !Path::new("/usr/lib/git-core/git-http-backend").exists() {
        return None;
    }
    let gate = Gate::new().await;
    let server = git_server(&gate).await;
    gate.configure(&gate.entry("git", &server, ""));
    std::fs::write(gate.machine.path(".gitconfig"), "[credential]\n\thelper = store\n").unwrap();
    gate.setup("git").await;
    Some((gate, server))
}

#[tokio::test]
async fn git_clones_and_pushes_with_a_token_of_ours_and_a_refused_one_is_renewed_once() {
    let Some((gate, server)) = with_git().await else { return };
    let address = format!("{server}/team/notes.git");
    let work = gate.machine.path("work");
    let work = work.to_str().unwrap();
    run(&gate, &["clone", "-q", &address, work]).await;
    std::fs::write(format!("{work}/note"), "a note").unwrap();
    run(&gate, &["-C", work, "add", "note"]).await;
    run(&gate, &["-C", work, "commit", "-qm", "a note"]).await;
    run(&gate, &["-C", work, "push", "-q", "origin", "HEAD:main"]).await;
    let first = gate.admitted();
    assert!(first.len() >= 3 && first.iter().all(|token| *token == first[0]), "one token did for all of it");

    // The server does not take it any more: git erases it, and the next question brings another.
    gate.refuse(&first[0]);
    let said = Said(in_time(git(&gate, &["-C", work, "fetch", "-q"]).output()).await.unwrap());
    assert_ne!(said.code(), 0);
    assert!(said.err().contains("Authentication failed"), "{}", said.err());
    run(&gate, &["-C", work, "fetch", "-q"]).await;
    let second = gate.admitted().pop().unwrap();
    assert_ne!(first[0], second);
    run(&gate, &["-C", work, "fetch", "-q"]).await;
    assert_eq!(gate.admitted().pop().unwrap(), second, "renewed once");
    assert_eq!(gate.machine.run(&["status"]).await.code(), 0, "and nobody was signed out");
}

/// An older git copies what one helper gives into every other, unless they are taken out of the chain.
#[tokio::test]
async fn no_other_helper_of_git_s_gets_a_copy() {
    let Some((gate, server)) = with_git().await else { return };
    run(&gate, &["ls-remote", &format!("{server}/team/notes.git")]).await;
    assert_eq!(gate.admitted().len(), 1);
    assert!(!gate.machine.path(".git-credentials").exists());
}

#[tokio::test]
async fn a_newer_git_is_told_that_nobody_may_keep_it() {
    let gate = Gate::new().await;
    gate.configure(&gate.entry("git", "https://git.example", ""));
    gate.link("git-credential-hallpass");
    let program = gate.machine.path("links/git-credential-hallpass");
    let said = ask(gate.program(&program, &["capability"]), "").await;
    assert_eq!((said.code(), said.out().as_str()), (0, "version 0\ncapability authtype\n"));
    let question = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=git.example\n\
                    wwwauth[]=Bearer realm=\"git\"\nwwwauth[]=Basic realm=\"git\"\n\n";
    let said = ask(gate.program(&program, &["get"]), question).await;
    let out = said.out();
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[..3], ["capability[]=authtype", "ephemeral=1", "authtype=Bearer"], "{}", said.err());
    let token = lines[3].strip_prefix("credential=").unwrap().to_owned();
    assert!(gate.machine.world.accepts(&token).await && lines[4].starts_with("password_expiry_utc="));

    let told = question.replace("\n\n", &format!("\nauthtype=Bearer\ncredential={token}\n\n"));
    for (word, same) in [("store", true), ("approve", true), ("erase", false)] {
        let said = ask(gate.program(&program, &[word]), &told).await;
        assert_eq!((said.code(), said.out().as_str(), said.err().as_str()), (0, "", ""), "{word}");
        let next = ask(gate.program(&program, &["get"]), question).await.out();
        assert_eq!(next.contains(&token), same, "{word}");
    }
}

/// How each request came: `Basic`, `Bearer`, or nothing.
type Schemes = Arc<Mutex<Vec<String>>>;

/// The same repositories, at a server that says it takes these and notes which it is shown.
async fn challenging(gate: &Gate, challenges: &'static [&'static str]) -> (String, Schemes) {
    let (listener, port) = listener().await;
    let schemes = Schemes::default();
    let noting = schemes.clone();
    let router = Router::new().fallback(backend).with_state(gate.clone()).layer(middleware::from_fn(
        move |request: Request, next: Next| {
            let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            let scheme = header.and_then(|text| text.split(' ').next()).unwrap_or_default().to_owned();
            noting.lock().unwrap().push(scheme);
            async move {
                let mut response = next.run(request).await;
                if response.status() == StatusCode::UNAUTHORIZED {
                    response.headers_mut().remove(WWW_AUTHENTICATE);
                    for challenge in challenges {
                        response.headers_mut().append(WWW_AUTHENTICATE, challenge.parse().unwrap());
                    }
                }
                response
            }
        },
    ));
    serve(listener, router);
    (format!("http://localhost:{port}"), schemes)
}

/// git 2.46 and later, itself: what it says of what it can is what the protocol has, and it does as it is told.
#[tokio::test]
async fn a_newer_git_itself_shows_a_bearer_token_where_one_is_taken_and_says_that_it_is_not_to_be_kept() {
    let (Some(newer), Some((gate, _))) = (interop("newer-git/bin/git"), with_git().await) else { return };
    for (challenges, scheme) in [
        (&["Bearer realm=\"git\"", "Basic realm=\"git\""][..], "Bearer"),
        (&["Basic realm=\"git\""], "Basic"),
    ] {
        let (server, schemes) = challenging(&gate, challenges).await;
        gate.configure(&gate.entry("git", &server, ""));
        // One that comes after ours, as none does that `setup` knows of: git tells it the token, and that it is not to keep it.
        let kept = gate.machine.path(scheme);
        let other =
            format!("!f() {{ echo \"$1\" >> {0}; [ \"$1\" = store ] && cat >> {0}; }}; f", kept.display());
        let config = format!(
            "[credential]\n\thelper = {} helper git\n\thelper = \"{}\"\n",
            super::gate::hallpass(),
            other.replace('"', "\\\"")
        );
        std::fs::write(gate.machine.path(".gitconfig"), config).unwrap();
        let mut command = gate.program(&newer, &["ls-remote", &format!("{server}/team/notes.git")]);
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1");
        let said = Said(in_time(command.output()).await.unwrap());
        assert_eq!(said.code(), 0, "{}", said.err());
        assert_eq!(schemes.lock().unwrap().last().map(String::as_str), Some(scheme), "{:?}", schemes.lock());
        let kept = std::fs::read_to_string(kept).unwrap_or_default();
        assert!(kept.contains("store\n") && kept.contains("ephemeral=1\n"), "{kept}");

        // As `setup` writes it, nobody but us is told anything.
        std::fs::write(gate.machine.path(".gitconfig"), "[credential]\n\thelper = store\n").unwrap();
        gate.setup("git").await;
        let mut command = gate.program(&newer, &["ls-remote", &format!("{server}/team/notes.git")]);
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1");
        assert_eq!(Said(in_time(command.output()).await.unwrap()).code(), 0);
        assert!(!gate.machine.path(".git-credentials").exists());
    }
}
