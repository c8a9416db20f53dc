//! The public MCP SDK (npm), as client and as server: it signs in here by its document, and takes our tokens.

use hallpass_model::principal::Owner;
use hallpass_model::wire::client_document::DocumentHost as Host;
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::AllowDocuments;
use hallpass_testkit::World;
use hallpass_testkit::document_host::DocumentHost;
use serde_json::{Value, json};

use super::Npm;
use super::issuer::{approve, with_time};

const BACK: &str = "http://127.0.0.1:49153/callback";

/// MCP, authorization, 2026-07-28: from the server's refusal to its metadata (RFC 9728), from there to the issuer's (RFC 8414), a
/// sign-in by document with a resource (RFC 8707) and an exact `iss` (RFC 9207), and a call with the token.
#[tokio::test]
async fn the_sdks_client_signs_in_by_its_document_and_its_server_takes_the_token() {
    let world = World::new().await;
    with_time(&world);
    let host = DocumentHost::start().await;
    let document = host.publish("/sdk.json", json!({ "redirect_uris": [BACK] }));
    let allow = AllowDocuments {
        org: world.org,
        host: Host::parse(&host.host).expect("a host"),
        owner: Owner::Person(world.ada),
        scopes: Scopes::parse("notes:read").expect("a scope"),
        environment: None,
    };
    world.change(allow).await.expect("it is allowed");
    let jwks = format!("{}/jwks", world.issuer_url);
    let now = hallpass_model::time::Clock::now(&*world.clock).seconds();
    let mut server = Npm::start("mcp-server.mjs");
    server.tell(&json!({ "issuer": world.issuer_url, "jwks": jwks, "now": now }).to_string()).await;
    let origin = server.hear().await.expect("it starts")["url"].as_str().expect("a URL").to_owned();
    let resource = format!("{origin}/mcp");
    world.add_resource(&resource, "notes:read", None).await;
    tokio::spawn(async move { while server.hear().await.is_some() {} });

    let mut client = Npm::start("mcp-client.mjs");
    let job = json!({
        "server": resource, "document": document, "redirect_uri": BACK, "scope": "notes:read", "revision": "modern",
        "calls": [{ "name": "whoami" }],
    });
    client.tell(&job.to_string()).await;
    let mut heard: Vec<Value> = Vec::new();
    while let Some(said) = client.hear().await {
        match said["authorize"].as_str() {
            Some(address) => {
                let asked: url::Url = address.parse().expect("an address");
                let parameter = |name: &str| {
                    asked.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
                };
                assert_eq!(parameter("client_id").as_deref(), Some(document.as_str()));
                assert_eq!(parameter("resource").as_deref(), Some(resource.as_str()));
                let back = approve(&world, address).await;
                client.tell(&back).await;
            }
            None => heard.push(said),
        }
    }
    let result = heard.iter().find(|said| said["name"] == "whoami").unwrap_or_else(|| panic!("{heard:?}"));
    assert_eq!(result["result"]["sub"], world.ada.to_string());
    assert_eq!(result["result"]["client_id"], document);
    assert_eq!(heard[0]["connected"], "2026-07-28");
}
