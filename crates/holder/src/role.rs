//! A pass traded for a session of a role at AWS (`AssumeRoleWithWebIdentity`).

use url::Url;

use crate::Holder;
use crate::adapters::aws::{self, NoSession, Role, Session};
use crate::error::HolderError;
use crate::identity::Identity;
use crate::pass::PassRequest;
use crate::provider::Fields;

/// Which role is taken on, where, for how long, and under which name.
#[derive(Debug, Clone)]
pub struct RoleRequest {
    /// The role.
    pub role: Role,
    /// The endpoint of STS.
    pub sts: Url,
    /// The name of the session, which AWS writes into its records.
    pub session_name: String,
    /// For how long, in seconds.
    pub seconds: i64,
    /// The pass that is presented. It is for STS alone.
    pub pass: PassRequest,
}

impl Holder {
    /// Credentials of a role. They are not kept here: AWS cannot take them back, so whoever asks holds them in memory.
    pub async fn assume_role(
        &self,
        identity: &Identity,
        request: &RoleRequest,
    ) -> Result<Session, HolderError> {
        let pass = self.token(identity, &request.pass).await?;
        let seconds = request.seconds.to_string();
        let form = aws::request(&request.role, &request.session_name, &seconds)
            .into_iter()
            .fold(Fields::new(), |form, (name, value)| form.with(name, value))
            .with_secret("WebIdentityToken", &pass.token);
        let answer = self.provider.post_elsewhere(&request.sts, &form).await;
        let answer = answer.map_err(|none| none.into_error(&request.sts, request.sts.as_str()))?;
        let place = || request.sts.to_string();
        Session::parse(answer.status, &answer.body, &request.role).map_err(|no| match no {
            NoSession::Refused { code, later: true } => {
                HolderError::Unreachable { place: place(), why: format!("it answered {code}") }
            }
            NoSession::Refused { code, later: false } => HolderError::RoleRefused { sts: place(), code },
            NoSession::NotBelieved(why) => HolderError::NotBelieved { why: why.into() },
        })
    }
}
