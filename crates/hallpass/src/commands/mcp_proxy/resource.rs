//! Finding out whose tokens a server takes (RFC 9728), before any is sent to it.

use std::time::Duration;

use hallpass_holder::Identity;
use hallpass_model::wire::resource_metadata::{RESOURCE_METADATA_LEN_MAX, ResourceMetadata, WELL_KNOWN};
use reqwest::header::WWW_AUTHENTICATE;
use url::Url;

use crate::failure::Failure;

/// What a server says of itself must have come after this.
const TIME_OUT: Duration = Duration::from_secs(10);

/// What the server says of itself, if it says anything.
///
/// First where its own refusal points (RFC 9728, section 5.1), then at the well-known places, as MCP's authorization has it.
pub(super) async fn find(http: &reqwest::Client, server: &Url) -> Result<Option<ResourceMetadata>, Failure> {
    let refusal = http.get(server.clone()).timeout(TIME_OUT).send().await;
    let refusal = refusal.map_err(|why| unreachable(server, why))?;
    let pointed = refusal.headers().get_all(WWW_AUTHENTICATE).iter().find_map(|value| {
        let value = value.to_str().ok()?.split_once("resource_metadata=\"")?.1;
        Url::parse(value.split_once('"')?.0).ok()
    });
    drop(refusal);
    // SECURITY: a server speaks for itself alone, at its own origin.
    let pointed = pointed.filter(|url| url.origin() == server.origin());
    let at_root = server.join(WELL_KNOWN).ok();
    let places = [pointed, ResourceMetadata::url_of(server.as_str()), at_root];
    let mut another = None;
    for place in places.into_iter().flatten() {
        let Some(document) = document(http, &place).await else { continue };
        match ResourceMetadata::read(&document, server) {
            Ok(read) => return Ok(Some(read)),
            Err(why) => another = Some((place, why)),
        }
    }
    match another {
        None => Ok(None),
        Some((place, why)) => {
            Err(Failure::refused(format_args!("what `{place}` says is not of this server: {why}"))
                .hint("no token was sent; ask whoever runs the server, or name the API with `--resource`"))
        }
    }
}

async fn document(http: &reqwest::Client, place: &Url) -> Option<Vec<u8>> {
    let mut answer = http.get(place.clone()).timeout(TIME_OUT).send().await.ok()?;
    if answer.status() != http::StatusCode::OK {
        return None;
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.ok()? {
        if body.len() + piece.len() > RESOURCE_METADATA_LEN_MAX {
            return None;
        }
        body.extend_from_slice(&piece);
    }
    Some(body)
}

/// Refuses where the server takes tokens of other issuers only: ours would be a stranger's there, and theirs to keep.
pub(super) fn takes(metadata: &ResourceMetadata, identity: &Identity) -> Result<(), Failure> {
    let servers = &metadata.authorization_servers;
    // By the byte (MCP, authorization, 2026-07-28): nothing is normalised.
    if servers.is_empty() || servers.contains(&identity.issuer) {
        return Ok(());
    }
    let named: Vec<String> = servers.iter().take(3).map(|server| format!("`{}`", shown(server))).collect();
    let told = format!(
        "this server takes tokens of {}, and your sign-in is at `{}`",
        named.join(", "),
        identity.issuer
    );
    Err(Failure::refused(told).hint(format_args!(
        "sign in there with `hallpass login --issuer {}`, or name that sign-in with `--issuer` or `--profile`",
        shown(&servers[0])
    )))
}

/// A stranger's text, in a message of ours.
fn shown(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(200).collect()
}

pub(super) fn unreachable(server: &Url, why: reqwest::Error) -> Failure {
    let why = why.without_url();
    let mut cause: &dyn std::error::Error = &why;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Failure::try_later(format_args!("`{}` cannot be reached: {cause}", server.origin().ascii_serialization()))
}
