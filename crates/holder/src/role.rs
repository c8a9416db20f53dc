//! A pass traded for a session of a role at AWS (`AssumeRoleWithWebIdentity`).

use hallpass_model::time::Lifetime;
use url::Url;

use crate::Holder;
use crate::adapters::aws::{self, NoSession, Role, Session};
use crate::error::HolderError;
use crate::identity::Identity;
use crate::pass::PassRequest;
use crate::provider::Fields;
use crate::record::RoleHeld;

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

/// A session that is kept is handed out again while it is good for this much more: what AWS programs take for all but over
/// is of no use to them, and they would ask again at once.
const HAND_OUT_AGAIN: Lifetime = Lifetime::minutes(15);

impl RoleRequest {
    /// All that makes its answer what it is, in words.
    fn words(&self) -> String {
        let pass = &self.pass;
        serde_json::json!([
            self.role.arn(),
            self.sts.as_str(),
            self.session_name,
            self.seconds,
            pass.resource,
            pass.scopes.to_string(),
        ])
        .to_string()
    }
}

impl Holder {
    /// Credentials of a role: from what is kept while that is good for a quarter of an hour more, otherwise fresh. They are kept
    /// in the record of the sign-in, encrypted as all of it, and go with it; where the record is the daemon's alone, nothing
    /// is kept. AWS itself cannot take them back.
    pub async fn assume_role(
        &self,
        identity: &Identity,
        request: &RoleRequest,
    ) -> Result<Session, HolderError> {
        let words = request.words();
        if let Some(session) = self.kept_session(identity, request, &words) {
            return Ok(session);
        }
        let session = self.assume_role_anew(identity, request).await?;
        if session.is_good_beyond((self.clock)() + HAND_OUT_AGAIN)
            && let Ok(mut loaded) = self.standing(identity)
        {
            loaded.record.keep_role(RoleHeld { asked: words, session: session.kept() });
            // Overtaken, gone, or no room on the disk: then it is just not kept.
            let _ = self.shelf.save(&mut loaded, (self.clock)());
        }
        Ok(session)
    }

    /// What is kept and still good. A sign-in that does not stand hands nothing out.
    fn kept_session(&self, identity: &Identity, request: &RoleRequest, words: &str) -> Option<Session> {
        let loaded = self.standing(identity).ok()?;
        let held = loaded.record.roles.iter().find(|held| held.asked == words)?;
        let session = Session::from_kept(&held.session, &request.role)?;
        session.is_good_beyond((self.clock)() + HAND_OUT_AGAIN).then_some(session)
    }

    async fn assume_role_anew(
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
