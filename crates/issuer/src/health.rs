//! Whether the server is up, and whether it can work.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::Issuer;
use crate::error::json;

#[derive(serde::Serialize)]
struct Health {
    status: &'static str,
}

/// It answers, so it lives.
pub(crate) async fn live() -> Response {
    json(StatusCode::OK, &Health { status: "ok" })
}

/// It can read its store, and was not told to stop.
pub(crate) async fn ready(State(issuer): State<Issuer>) -> Response {
    if issuer.is_stopping() {
        return json(StatusCode::SERVICE_UNAVAILABLE, &Health { status: "stopping" });
    }
    match issuer.store.ledger_size().await {
        Ok(_) => json(StatusCode::OK, &Health { status: "ready" }),
        Err(error) => {
            tracing::warn!(%error, "not ready: the store cannot be read");
            json(StatusCode::SERVICE_UNAVAILABLE, &Health { status: "the store cannot be read" })
        }
    }
}
