//! Clients that are known by the https URL of a document of their own (Client ID Metadata Documents,
//! draft-ietf-oauth-client-id-metadata-document-02), as MCP's have it (authorization, revision 2026-07-28).
//!
//! 1. Read where somebody begins to sign in: at the authorization endpoint and where requests are pushed. From then on the client
//!    is one like any other, whose `client_id` is the URL.
//! 2. The org must take documents of that host, which is asked before anything is fetched.
//! 3. A host that cannot be reached now stops nobody who was admitted before. One that answers and has no document there any more
//!    does: nobody signs in by it from then on.

use hallpass_model::ledger::Actor;
use hallpass_model::wire::client_document::{DocumentUrl, is_document};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::{AdmitClient, NotAdmitted};

use crate::error::OAuthError;
use crate::form::Asked;
use crate::outside::{NotFetched, NotRead};

/// Sees to it that the client that asks is known, if its `client_id` is a document's address.
pub(crate) async fn admit(asked: &Asked) -> Result<(), OAuthError> {
    let Some(client_id) = asked.form.find("client_id").filter(|id| is_document(id)) else { return Ok(()) };
    let url = DocumentUrl::parse(client_id).map_err(|bad| {
        OAuthError::invalid_request("the client_id cannot be the address of a client's document").because(bad)
    })?;
    let store = &asked.issuer.store;
    // SECURITY: before anything is fetched: no stranger chooses where this server asks.
    if store.document_host(asked.org.id(), &url).await?.is_none() {
        store.count_stranger("document of another host");
        return Err(not_admitted(NotAdmitted::Host));
    }
    let known = store.find_client_by_client_id(asked.org.id(), url.as_str()).await?.is_some();
    let document = match asked.issuer.outside.document(&url).await {
        Ok((_, false)) if known => return Ok(()),
        Ok((document, _)) => document,
        Err(NotRead::Fetched(NotFetched::Unreachable { .. })) if known => {
            return Ok(());
        }
        Err(why) => return Err(not_read(why)),
    };
    if !known {
        asked.count_write()?;
    }
    let admit = AdmitClient { org: asked.org.id(), url, document };
    store.change(Actor::Nobody, asked.now, admit).await?.map_err(not_admitted)?;
    Ok(())
}

fn not_read(why: NotRead) -> OAuthError {
    let told = match &why {
        NotRead::Fetched(NotFetched::Forbidden { .. }) => "the client_id is at an address that is not asked",
        NotRead::Fetched(_) => "the client's document cannot be fetched from its client_id now; try again",
        NotRead::Document(_) => "what is at the client_id is no document of this client",
    };
    // Not 503: it is the client's site that does not answer, and the page says so.
    OAuthError::new(ErrorCode::InvalidClientMetadata, told).because(why)
}

fn not_admitted(why: NotAdmitted) -> OAuthError {
    let told = match why {
        NotAdmitted::Host => {
            "this organisation takes no client documents of that host; an administrator allows them"
        }
        NotAdmitted::Unowned => "nobody answers for clients of that host at present; ask an administrator",
        NotAdmitted::Full => "there are too many such clients at present; try again tomorrow",
    };
    OAuthError::new(ErrorCode::InvalidClient, told).because(why)
}
