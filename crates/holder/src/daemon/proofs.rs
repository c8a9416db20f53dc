//! What goes with one request to an API: a token, and a proof by the key that stays here (RFC 9449, section 4).

use http::Method;

use super::conversation::{Answer, read, render, request};
use super::office::Office;
use super::problem::Problem;
use super::wire::{HeadersAsked, HeadersGiven};
use crate::present::Learned;

impl Office {
    /// `POST /v1/headers`. A token goes where the holder itself would send it, and nowhere else.
    pub(super) async fn headers(&self, body: &[u8]) -> Result<Answer, Problem> {
        let HeadersAsked { method, url, mut token, nonce, ahead } = read(body)?;
        self.let_in(&mut token)?;
        let usage = |what: &str| Problem::new("usage", what);
        if Method::from_bytes(method.as_bytes()).is_err() {
            return Err(usage("`method` is no method of HTTP"));
        }
        if token.lease || token.fresh || token.lifetime.is_some() {
            return Err(usage(
                "a token for one request is one that is kept: ask `/v1/token` for one of its own",
            ));
        }
        let holder = self.holder();
        let identity = self.meant(&token)?;
        let mut request = request(&token)?;
        if request.resource.is_none() {
            request.resource = holder.resource_at(&identity, &url)?;
        }
        self.trust(&identity).await;
        let presentable = holder.present(&identity, &request, token.binding.unwrap_or_default()).await?;
        let told = nonce.is_some();
        presentable.set_learned(Learned { nonce, offset: ahead });
        let headers = presentable.headers(&method, &url)?;
        if told {
            holder.keep_learned(&identity, &presentable)?;
            self.forget_all(); // the answers that have the one before
        }
        self.listen(&identity);
        let pass = presentable.pass();
        Ok(render(&HeadersGiven {
            authorization: headers.authorization.expose_text().to_owned(),
            dpop: headers.proof.clone(),
            expires: pass.expires,
            resource: pass.resource.clone(),
        }))
    }
}
