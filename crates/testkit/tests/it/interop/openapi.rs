//! PyPI's schemathesis: the administrators' API against its own description, by questions that fit it and questions that do not.

use std::path::PathBuf;

use hallpass_testkit::World;
use hallpass_testkit::client::Tokens;
use hallpass_testkit::world::NOTES;
use serde_json::json;
use tokio::process::Command;

/// Questions of each verb, at most: with its seed, the same ones each time.
const EXAMPLES: &str = "12";
const SEED: &str = "1";

/// What is held to. A question that fits the schema may still be refused, as there is no thing of that name: that a refusal is one that
/// the description names is held to all the same.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,negative_data_rejection,unsupported_method,ignored_auth";

/// What would end the very token that the others are asked with, once it has learned our ids and short names from our answers.
const ENDING: [&str; 4] = ["/org.rotate_key", "/cut", "/session.end", "/client.disable"];

/// Has it try the API of this world, with these arguments.
async fn hold_to_description(world: &World, mode: &[&str]) -> Tokens {
    let by = world.sign_in_for("ada", "hallpass-cli", &[NOTES], "openid hallpass:admin").await;
    let interop = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop");
    let folder = tempfile::tempdir().expect("there is room");
    let ran = Command::new(interop.join(".venv/bin/schemathesis"))
        .arg("run")
        .arg(world.at("api/admin/openapi.json"))
        .args(["--header", &format!("Authorization: Bearer {}", by.access)])
        .args(["--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", SEED])
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--continue-on-failure",
            "--no-color",
            "--warnings",
            "off",
        ])
        .args(mode)
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .current_dir(folder.path())
        .kill_on_drop(true)
        .output()
        .await
        .expect("run `scripts/setup test` first: Python's packages are missing");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    by
}

#[tokio::test]
async fn the_administrators_api_is_what_its_description_says() {
    let world = World::new().await;
    let mode: Vec<&str> = ENDING.into_iter().flat_map(|path| ["--exclude-path", path]).collect();
    let by = hold_to_description(&world, &mode).await;
    // It was let in to the end, and what it asked was done: it did not merely see refusals.
    let last = world.http.post(world.at("api/admin/team.list")).bearer_auth(&by.access).json(&json!({}));
    let teams = world.send(last).await.json();
    assert!(teams.as_array().is_some_and(|teams| teams.len() > 1), "{teams}");

    let world = World::new().await;
    let mode = ENDING.into_iter().flat_map(|path| ["--include-path", path]);
    hold_to_description(&world, &mode.chain(["--mode", "negative"]).collect::<Vec<_>>()).await;
}
