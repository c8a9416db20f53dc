//! The provider itself, changing under a sign-in.

use serde_json::Value;

use super::{Players, gave_nothing};
use crate::commands::torture::report::Finding;
use crate::commands::torture::wire::Answer;
use crate::failure::Failure;

/// How far the clock jumps, in seconds: further than any skew that is put up with.
const JUMPS: [i64; 4] = [3_600, -3_600, 40, 0];
/// Renewals after each jump, in one process: the first learns of it, the next live with it.
const RENEWALS: usize = 3;

/// The provider's clock jumps, as far as its answers say, and comes back.
pub(super) async fn clock(players: &Players) -> Result<Finding, Failure> {
    let (name, tried) = (
        "clock_jumps",
        "the provider's clock jumps an hour ahead, an hour back and half a minute ahead of ours",
    );
    let mut wrong = Vec::new();
    players.proxy().take_tally();
    let (mut went_well, mut failed) = (0, 0);
    for jump in JUMPS {
        players.proxy().shift_clock(jump);
        let mut turns = players.home.turns(&players.door)?;
        for _ in 0..RENEWALS {
            match turns.turn().await {
                Some(0) => went_well += 1,
                _ => failed += 1,
            }
        }
        turns.end().await;
    }
    let tally = players.proxy().take_tally();
    if tally.replays > 0 || tally.unexcused > 0 {
        wrong.push(format!("{} replays, {} sign-ins lost", tally.replays, tally.unexcused));
    }
    players.stands_again(false, &mut wrong).await?;
    let seen = format!(
        "{went_well} renewals went well, {failed} were errors, none ended the sign-in; this machine's own clock was not \
         moved: every program here would have felt it"
    );
    Ok(Finding::of(name, tried, &wrong, seen))
}

/// A renewal brings a token for another tenant or person. The proxy plays that provider: it changes what the token says.
pub(super) async fn tenant(players: &Players) -> Result<Finding, Failure> {
    let (name, tried) = (
        "tenant_switched",
        "a renewal brings a token for somebody else (the proxy changes whom the answer is about)",
    );
    if !players.stage.signs_in_by_itself() {
        return Ok(Finding::not_tried(
            name,
            tried,
            "it would cost you another sign-in: give `--approve COMMAND`",
        ));
    }
    let mut wrong = Vec::new();
    players.door.rewrite(for_somebody_else);
    let said = players.home.token(&players.door).await?;
    if players.door.still_to_rewrite() {
        let why = "not testable at this provider: its tokens do not say whom they are for";
        return Ok(Finding::not_tried(name, tried, why));
    }
    gave_nothing(&said, "it was for somebody else", &mut wrong);
    if players.home.records().is_empty() {
        wrong.push("the record was wiped".into());
    }
    let again = players.home.run(&players.door, &["token"]).await?;
    if !again.says_to_sign_in() {
        wrong.push(format!("the sign-in is not in quarantine: {}", again.told()));
    }
    let seen = match players.proxy().last_was_revoked() {
        true => "refused, given back to the provider, and the sign-in is in quarantine",
        false => "refused, and the sign-in is in quarantine; the provider took nothing back",
    };
    if players.stage.ours && !players.proxy().last_was_revoked() {
        wrong.push("what came was not given back".into());
    }
    players.stage.sign_in(&players.home, &players.door).await?;
    Ok(Finding::of(name, tried, &wrong, seen.into()))
}

/// Changes whom the tokens of an answer are about. None where they do not say.
fn for_somebody_else(answer: &Answer) -> Option<Answer> {
    let mut json = answer.json().filter(|_| answer.status == 200)?;
    let mut changed = false;
    for name in ["access_token", "id_token"] {
        if let Some(other) = json[name].as_str().and_then(about_somebody_else) {
            json[name] = Value::String(other);
            changed = true;
        }
    }
    let body = serde_json::to_vec(&json).ok().filter(|_| changed)?;
    Some(Answer { body, ..answer.clone() })
}

/// The same token about somebody else. Its signature does not fit any more, which is for an API to see.
fn about_somebody_else(token: &str) -> Option<String> {
    use hallpass_model::jose::base64url;
    let mut parts: Vec<&str> = token.split('.').collect();
    let [_, claims, _] = parts.as_slice() else { return None };
    let mut claims: Value = serde_json::from_slice(&base64url::parse(claims)?).ok()?;
    let subject = claims.get("sub")?.as_str()?.to_owned();
    claims["sub"] = Value::String(format!("{subject}x"));
    let claims = base64url::render(claims.to_string());
    parts[1] = &claims;
    Some(parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: Value) -> Answer {
        Answer { status: 200, headers: Vec::new(), body: json.to_string().into_bytes() }
    }

    #[test]
    fn only_a_token_that_says_whom_it_is_for_can_be_for_somebody_else() {
        let claims = hallpass_model::jose::base64url::render(r#"{"sub":"ada"}"#);
        let token = format!("e30.{claims}.c2ln");
        let changed = for_somebody_else(&answer(serde_json::json!({ "access_token": token }))).unwrap();
        let other = changed.json().unwrap()["access_token"].as_str().unwrap().to_owned();
        assert_ne!(other, token);
        assert!(about_somebody_else(&other).is_some());
        assert!(for_somebody_else(&answer(serde_json::json!({ "access_token": "opaque" }))).is_none());
        assert!(for_somebody_else(&answer(serde_json::json!({ "access_token": "e30.e30.c2ln" }))).is_none());
    }
}
