//! One tenant as an issuer of its own.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use hallpass_model::id::OrgId;
use hallpass_model::jose::Algorithm;
use hallpass_model::principal::{Handle, Org};

use crate::error::OAuthError;
use crate::keys::OrgKeys;
use crate::{Issuer, limits, metadata};

/// An org in use, as an issuer.
pub(crate) struct OrgIssuer {
    /// Its row.
    pub(crate) org: Arc<Org>,
    /// Its issuer identifier.
    pub(crate) issuer: String,
    /// Its keys.
    pub(crate) keys: OrgKeys,
    /// Every scope that some resource of it understands, once.
    pub(crate) scopes: BTreeSet<String>,
    /// Its metadata, written once.
    pub(crate) metadata: Bytes,
    /// Its public keys, written once.
    pub(crate) jwks: Bytes,
}

impl OrgIssuer {
    /// Its id.
    pub(crate) fn id(&self) -> OrgId {
        self.org.id
    }

    /// The address of one of its endpoints: `token`.
    pub(crate) fn endpoint(&self, name: &str) -> String {
        format!("{}/{name}", self.issuer)
    }
}

/// Orgs with their keys parsed and their documents written, by name.
///
/// INVARIANT: what is kept never outlives a change. The store hands out the very same row until anything in its
/// directory changes, so what was made from a row is good for as long as the row is the same one.
#[derive(Default)]
pub(crate) struct Orgs(RwLock<HashMap<Handle, Arc<OrgIssuer>>>);

impl Issuer {
    /// The org of this name, if it is in use.
    pub(crate) async fn org(&self, name: &str) -> Result<Option<Arc<OrgIssuer>>, OAuthError> {
        let row = self.store.find_org_by_name(name).await?;
        let Some(row) = row.filter(|org| org.standing.is_active()) else { return Ok(None) };
        let kept = self.orgs.0.read().unwrap_or_else(PoisonError::into_inner).get(&row.name).cloned();
        if let Some(org) = kept.filter(|kept| Arc::ptr_eq(&kept.org, &row)) {
            return Ok(Some(org));
        }
        let org = Arc::new(self.make_issuer(row).await?);
        let mut kept = self.orgs.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= limits::ORGS_MAX {
            kept.clear();
        }
        kept.insert(org.org.name.clone(), org.clone());
        Ok(Some(org))
    }

    async fn make_issuer(&self, org: Arc<Org>) -> Result<OrgIssuer, OAuthError> {
        let keys = OrgKeys::read(self.store.list_signing_keys(org.id, self.clock.now()).await?)?;
        let scopes = self.scopes_of(org.id).await?;
        let issuer = self.settings.base_url.issuer(&org.name);
        let known = [Algorithm::Es256, Algorithm::EdDsa].into_iter();
        let signs: Vec<Algorithm> = known
            .filter(|algorithm| keys.published.keys().iter().any(|key| key.permits(*algorithm)))
            .collect();
        let has = metadata::Has {
            signs: &signs,
            documents: !self.store.document_hosts(org.id).await?.is_empty(),
            registration: self.store.registration_policy(org.id).await?.is_some(),
            provider: self.store.login_provider(org.id).await?.is_some(),
        };
        let metadata = metadata::render(&issuer, &scopes, has);
        let jwks = metadata::render_jwks(&keys);
        Ok(OrgIssuer { org, issuer, keys, scopes, metadata, jwks })
    }

    async fn scopes_of(&self, org: OrgId) -> Result<BTreeSet<String>, OAuthError> {
        let (mut scopes, mut after) = (BTreeSet::new(), None);
        loop {
            let page = self.store.list_resources(org, after.as_deref(), limits::PAGE).await?;
            let in_use = page.items.iter().filter(|resource| resource.standing.is_active());
            scopes.extend(in_use.flat_map(|resource| resource.scopes.iter()).map(str::to_owned));
            after = page.items.last().map(|resource| resource.url.clone());
            if !page.more {
                return Ok(scopes);
            }
        }
    }
}
