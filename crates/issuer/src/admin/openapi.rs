//! The administrators' API as OpenAPI 3.1, made of the very types that are read and written.

use std::sync::LazyLock;

use hallpass_model::role::{Role, may};
use serde_json::{Map, Value, json};

use super::refused::Kind;
use super::shape::Schemas;
use super::verbs::{Verb, all};

/// The description, as JSON, of the API at this address. But for that it is the same for every org.
pub(crate) fn openapi(address: &str) -> String {
    static WHOLE: LazyLock<String> = LazyLock::new(|| whole().to_string());
    WHOLE.replacen(ADDRESS, address, 1)
}

/// Stands for the address. What generates clients takes a relative one for the host's root.
const ADDRESS: &str = "{address}";

fn whole() -> Value {
    let mut schemas = Schemas::new();
    let verbs = all().filter(|verb| verb.is_of_an_org());
    let paths: Map<String, Value> = verbs
        .map(|verb| (format!("/{}", verb.name()), json!({ "post": operation(verb, &mut schemas) })))
        .collect();
    schemas.insert("Problem", problem());
    // The path says of which org it is.
    for schema in schemas.values_mut() {
        let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
        if let (true, Some(members)) = (closed, schema["properties"].as_object_mut()) {
            members.remove("org");
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hallpass: the administrators' API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": DESCRIPTION,
        },
        "servers": [{ "url": ADDRESS }],
        "security": [{ "dpop": [] }, { "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "dpop": {
                    "type": "http", "scheme": "DPoP",
                    "description": "An access token for the issuer itself, with a proof of the key it is bound to (RFC 9449).",
                },
                "bearer": {
                    "type": "http", "scheme": "Bearer",
                    "description": "An access token for the issuer itself that is bound to no key (RFC 6750).",
                },
            },
        },
    })
}

const DESCRIPTION: &str = "What `hallpass admin` does, for who has a role in the org or answers for the thing. Each verb is posted a \
    question in JSON. The token must be of a person's own session and carry `hallpass:read` to look, or `hallpass:admin` to change \
    anything, which takes a login of that day as well. Lists come 500 at a time: ask again `after` the last.";

fn operation(verb: &Verb, schemas: &mut Schemas) -> Value {
    let (question, answer) = verb.shapes(schemas);
    let kind = if verb.is_by_line() { "application/jsonl" } else { "application/json" };
    let mut responses = Map::new();
    responses
        .insert("200".into(), json!({ "description": "Done.", "content": { kind: { "schema": answer } } }));
    let problems = Kind::ALL.map(|kind| kind.status().as_u16());
    for status in problems.into_iter().chain([401, 408, 413, 415, 429]) {
        let content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
        responses.insert(status.to_string(), json!({ "description": told(status), "content": content }));
    }
    let roles: Vec<_> = Role::IN_ORG
        .into_iter()
        .chain([Role::Person])
        .filter(|role| may(*role, verb.act()))
        .map(Role::text)
        .collect();
    json!({
        "operationId": verb.name(),
        "tags": [verb.name().split('.').next()],
        "description": format!("For: {}{}.", roles.join(", "), verb.for_owner()),
        "x-roles": roles,
        "x-scope": if verb.is_reading() { crate::admin_api::READ_SCOPE } else { crate::admin_api::CHANGE_SCOPE },
        "requestBody": { "required": true, "content": { "application/json": { "schema": question } } },
        "responses": responses,
    })
}

fn told(status: u16) -> &'static str {
    match status {
        400 => "The question makes no sense.",
        401 => "The token is missing, over or not enough; `WWW-Authenticate` says what would be.",
        403 => "A rule says no.",
        404 => "There is no such thing.",
        409 => "There is one already, or it is in no state for that.",
        408 => "The body took too long to come.",
        413 => "The body is longer than any question is.",
        415 => "The body is not JSON.",
        429 => "Refused too often; `Retry-After` says until when.",
        503 => "Busy, or full: try again shortly.",
        _ => "A mistake of the server's.",
    }
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Why it was not done.",
        "properties": {
            "error": { "type": "string", "description": "A word that stays." },
            "error_description": { "type": "string", "description": "What happened, and why." },
            "hint": { "type": "string", "description": "What to do next." },
        },
        "required": ["error"],
    })
}
