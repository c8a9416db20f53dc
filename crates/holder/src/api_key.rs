//! Passes that an API key buys at our issuer (RFC 8693). There is no session and nothing to renew: the key is sealed in the
//! record, goes to the token endpoint alone, and each pass is bought anew.

use hallpass_model::device::DeviceClass;
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{ApiKey, Secret};
use hallpass_model::wire::errors::OAuthErrorBody;
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::{GrantType, TokenResponse, TokenType, token_type};

use crate::Holder;
use crate::dpop::SessionKey;
use crate::environment::machine_name;
use crate::error::HolderError;
use crate::pass::Wish;
use crate::provider::{Fields, NoAnswer, With};
use crate::record::Standing;
use crate::refresh::{copy, ended, session_key};
use crate::shelf::Loaded;

/// Rules by which a key is no key any more, whatever is asked of it.
const OVER: [&str; 2] = ["key_revoked", "key_expired"];
/// The rule by which it is none: it may be another org's, or of a database that was put back.
const UNKNOWN: &str = "key_unknown";

/// What a key is shown with.
pub(crate) struct Shown<'a> {
    pub(crate) metadata: &'a IssuerMetadata,
    pub(crate) api_key: &'a Secret<ApiKey>,
    pub(crate) session_key: &'a SessionKey,
    pub(crate) class: DeviceClass,
    /// The client that the key said it is of, once that is known.
    pub(crate) client_id: Option<&'a str>,
}

impl Holder {
    /// Buys one token. `resource` may be left out where the key has but one.
    pub(crate) async fn buy(
        &self,
        shown: &Shown<'_>,
        resource: Option<&str>,
        wish: &Wish<'_>,
    ) -> Result<TokenResponse, NoAnswer> {
        let unusable = |what: &str| NoAnswer::Unexpected { what: what.to_owned() };
        let Wish { request, wanted, lease } = *wish;
        let form = Fields::new()
            .with("grant_type", GrantType::TokenExchange.text())
            .with_secret("subject_token", shown.api_key)
            .with("subject_token_type", token_type::API_KEY)
            .with("requested_token_type", token_type::ACCESS_TOKEN)
            .with_some("client_id", shown.client_id)
            .with_some("resource", resource)
            .with_some("scope", (!request.scopes.is_empty()).then(|| request.scopes.to_string()))
            .with_some("lifetime", request.lifetime.map(|lifetime| lifetime.as_seconds().to_string()))
            .with_some("purpose", request.purpose.as_ref().map(Purpose::as_str))
            .with("device_name", machine_name())
            .with("device_class", shown.class.to_string())
            .with_some("lease", lease.then_some("true"))
            .with_some("binding", (*wanted == TokenType::Bearer).then_some("bearer"));
        let with = With { key: Some(shown.session_key), ..With::default() };
        let tokens = self.provider.token(shown.metadata, &form, with).await?;
        if tokens.token_type != *wanted {
            return Err(unusable("a pass of another type than was asked for"));
        }
        if tokens.issued_token_type.as_deref() != Some(token_type::ACCESS_TOKEN) {
            return Err(unusable("a pass that is not an access token"));
        }
        Ok(tokens)
    }

    /// Buys a pass with the key of a sign-in.
    pub(crate) async fn bought(
        &self,
        mut loaded: Loaded,
        resource: &str,
        wish: &Wish<'_>,
    ) -> Result<(Loaded, TokenResponse), HolderError> {
        let identity = loaded.header.identity();
        let no_key = || ended(&identity, "its key cannot be read".into());
        let session_key = session_key(&loaded)?.ok_or_else(no_key)?;
        let api_key = loaded.record.api_key.as_ref().map(|held| copy(&held.key)).ok_or_else(no_key)?;
        self.recall_nonce(&loaded.record);
        let metadata = loaded.record.metadata.clone();
        let shown = Shown {
            metadata: &metadata,
            api_key: &api_key,
            session_key: &session_key,
            class: loaded.record.device_class,
            client_id: Some(&identity.client_id),
        };
        let tokens = match self.buy(&shown, Some(resource), wish).await {
            Ok(tokens) => tokens,
            Err(NoAnswer::Refused { body, .. }) => return Err(self.key_refused(&mut loaded, body)?),
            Err(none) => {
                let place = metadata.token_endpoint.clone().expect("a request was sent there");
                return Err(none.into_error(&place, &identity.issuer));
            }
        };
        // SECURITY: another client's token is not handed out.
        if !is_of(&tokens, &identity.client_id) {
            let why = "its token is of another client than the key".to_owned();
            return Err(HolderError::NotBelieved { why });
        }
        if let (Some(lasts), Some(held)) = (tokens.api_key_expires_in, loaded.record.api_key.as_mut()) {
            // Kept with the pass, or not at all: what is asked next says it again.
            held.ends = Some((self.clock)() + lasts);
        }
        Ok((loaded, tokens))
    }

    /// What a refusal means: that the key is over is written down, so that nobody is asked again; all else may be otherwise
    /// tomorrow, or for another API.
    fn key_refused(&self, loaded: &mut Loaded, body: OAuthErrorBody) -> Result<HolderError, HolderError> {
        let identity = loaded.header.identity();
        let rule = body.rule.as_deref().unwrap_or_default();
        let is_over = OVER.contains(&rule);
        if !is_over && rule != UNKNOWN {
            return Ok(crate::provider::refused(&identity.issuer, body));
        }
        let why = body.error_description.unwrap_or_else(|| "the issuer says that the API key is over".into());
        let standing = Standing::Ended { why: why.clone() };
        match is_over {
            true => loaded.record.give_up(standing),
            false => loaded.record.standing = standing,
        }
        // Overtaken or gone: then somebody else knows better, and the next command will see it.
        self.shelf.save(loaded, (self.clock)())?;
        Ok(ended(&identity, why))
    }
}

/// RFC 7009, section 2.1, lets a server have hints of its own.
pub(crate) const HINT: &str = "api_key";

/// Whether a token says that it is about this client. Read, not verified: it came from the token endpoint over TLS.
pub(crate) fn is_of(tokens: &TokenResponse, client_id: &str) -> bool {
    client_of(tokens).as_deref() == Some(client_id)
}

/// The client that a token says it is about.
pub(crate) fn client_of(tokens: &TokenResponse) -> Option<String> {
    hallpass_model::jose::peek_unverified(tokens.access_token.expose_text()).ok()?.client
}
