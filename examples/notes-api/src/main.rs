//! An API of somebody's own that accepts Hallpass tokens: read notes with `notes:read`, write with `notes:write`.
//!
//! What it takes to be such an API is in `main` and `routes`; the rest would be there anyway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use clap::Parser;
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::time::Timestamp;
use hallpass_verifier::introspect::ClientKey;
use hallpass_verifier::layer::{Clock, RequireToken};
use hallpass_verifier::{AccessClaims, Dpop, ResourceMetadata, Verifier};
use serde::{Deserialize, Serialize};

/// An example API that accepts Hallpass tokens
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The address to listen on; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The issuer whose tokens are accepted
    #[arg(long)]
    issuer: String,
    /// This API's own identifier, as it is registered at the issuer
    #[arg(long)]
    audience: String,
    /// This API's address as its callers see it, if that is not where it listens
    #[arg(long)]
    url: Option<String>,
    /// The service client by which revocation is asked about on each request
    #[arg(long, requires = "client_key", default_value = "notes-api")]
    client_id: String,
    /// That client's key: a PKCS#8 file, PEM or DER
    #[arg(long, value_name = "FILE")]
    client_key: Option<PathBuf>,
}

type Notes = Arc<Mutex<Vec<Note>>>;

/// Notes kept at most: this is an example, and its memory is everybody's.
const NOTES_MAX: usize = 1_000;

#[derive(Clone, Serialize)]
struct Note {
    text: String,
    /// Who wrote it: the token's subject.
    by: String,
}

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    let here = format!("http://{}", listener.local_addr()?);
    // Tokens bound to a key are taken too, each with a proof that carries a nonce of ours.
    let dpop = Dpop::at(args.url.as_ref().unwrap_or(&here))?.with_nonces(&random());
    let mut verifier = Verifier::discover(&args.issuer, &args.audience)?.with_dpop(dpop).with_metadata();
    if let Some(file) = &args.client_key {
        verifier = verifier.with_introspection(ClientKey::new(&args.client_id, &read_key(file)?)?);
    }
    announce(listener.local_addr()?);
    axum::serve(listener, routes(verifier, Arc::new(now))).await?;
    Ok(())
}

fn routes(verifier: Verifier, clock: Clock) -> Router {
    let needs = |scope: &str| {
        let scopes = scope.parse().expect("a scope of this API's own");
        RequireToken::new(verifier.clone(), scopes, clock.clone())
    };
    // Programs that were never told whose tokens this API takes find out here (RFC 9728).
    let metadata = verifier.metadata(&"notes:read notes:write".parse().expect("this API's own scopes"));
    let router = match ResourceMetadata::url_of(verifier.audience()) {
        Some(at) => Router::new().route(at.path(), get(async move || Json(metadata))),
        None => Router::new(),
    };
    router
        .route("/notes", get(list).layer(needs("notes:read")))
        .route("/notes", post(add).layer(needs("notes:write")))
        .with_state(Notes::default())
}

async fn list(State(notes): State<Notes>) -> Json<Vec<Note>> {
    Json(notes.lock().expect("no holder of this lock panics").clone())
}

async fn add(
    State(notes): State<Notes>,
    Extension(claims): Extension<AccessClaims>,
    Json(new): Json<NewNote>,
) -> (StatusCode, Json<Note>) {
    let note = Note { text: new.text, by: claims.sub };
    let mut notes = notes.lock().expect("no holder of this lock panics");
    if notes.len() == NOTES_MAX {
        notes.remove(0);
    }
    notes.push(note.clone());
    (StatusCode::CREATED, Json(note))
}

/// The nonces' key: this API is one process, so it is nobody else's, and new at each start.
fn random() -> [u8; 32] {
    let mut key = [0; 32];
    SystemEntropy.fill(&mut key);
    key
}

/// The key document in a file, out of its PEM armour if it has one.
fn read_key(file: &PathBuf) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let bytes = std::fs::read(file).map_err(|why| format!("`{}`: {why}", file.display()))?;
    match hallpass_model::jose::pkcs8_from_pem(&bytes) {
        Some(document) => Ok(document.to_vec()),
        None => Ok(bytes),
    }
}

#[expect(clippy::disallowed_methods, reason = "the program's one clock")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_millis(since.map_or(0, |d| d.as_millis() as i64))
}

#[expect(clippy::print_stdout, reason = "whoever started it waits for this line")]
fn announce(address: SocketAddr) {
    println!("ready http://{address}");
}
