//! Codes: asked for, issued, redeemed once.

use hallpass_model::cut::Why;
use hallpass_model::id::ClientId;
use hallpass_model::ledger::{Event, Field};
use hallpass_model::lifetimes::{
    ACCESS_TOKEN, AUTHORIZATION_CODE, AUTHORIZE_REQUEST, SESSION_ABSOLUTE, SESSION_IDLE,
};
use hallpass_model::secret::Secret;
use hallpass_model::session::{Binding, Refusal};
use hallpass_model::time::Lifetime;
use hallpass_store::{
    CodeIssued, CodeRedeemed, CodeRefusal, Filter, IssueCode, OutOfGrant, Reach, Reached, RedeemCode,
    Redeemed, RefreshTokens, SaveRequest, SavedRequest, SetClientStanding, SetResourceStanding, TakeRequest,
    Wanted,
};

use crate::world::{NOTES, World, add_org, for_notes, key, laptop, scopes, token};

fn refusal(redeemed: CodeRedeemed) -> CodeRefusal {
    match redeemed {
        CodeRedeemed::Refused(why) => why,
        CodeRedeemed::Opened(opened) => panic!("opened {}", opened.session.id),
    }
}

fn same(
    code: &Secret<hallpass_model::secret::AuthorizationCode>,
) -> Secret<hallpass_model::secret::AuthorizationCode> {
    Secret::new(code.expose().to_vec())
}

#[tokio::test]
async fn a_request_waits_for_its_login_and_is_taken_once() {
    let mut world = World::new().await;
    let other = world.change(add_org("other")).await.unwrap();
    let save = SaveRequest { org: world.org, client: world.cli, request: "{}".into() };
    let handle = world.change(save.clone()).await;
    let take = |org| TakeRequest { handle: Secret::new(handle.expose().to_vec()), org };
    let saved = SavedRequest { client: world.cli, request: "{}".into() };
    assert_eq!(world.store.find_request(&handle, other.org, world.now).await.unwrap(), None);
    assert_eq!(world.store.find_request(&handle, world.org, world.now).await.unwrap(), Some(saved.clone()));
    assert_eq!(world.change(take(other.org)).await, None);
    assert_eq!(world.change(take(world.org)).await, Some(saved));
    assert_eq!(world.change(take(world.org)).await, None);
    let late = world.change(save).await;
    world.wait(AUTHORIZE_REQUEST);
    assert_eq!(world.store.find_request(&late, world.org, world.now).await.unwrap(), None);
}

#[tokio::test]
async fn a_code_becomes_a_session_with_all_that_was_agreed_to() {
    let world = World::new().await;
    let code = world.issue_code(world.code()).await;
    let redeem =
        RedeemCode { proof: Some(world.proof(key(1))), wanted: for_notes(), ..world.redeem_code(code) };
    let CodeRedeemed::Opened(opened) = world.change(redeem).await else { panic!("refused") };
    let session = &opened.session;
    assert_eq!((session.org, session.principal, session.client), (world.org, world.ada, world.cli));
    assert_eq!(session.grant, world.code().grant);
    assert_eq!(session.binding, Binding::Key(key(1)));
    assert_eq!(session.expires, world.now + SESSION_ABSOLUTE);
    assert_eq!(session.idle_until, world.now + SESSION_IDLE);
    assert_eq!(opened.expires, world.now + ACCESS_TOKEN);
    assert_eq!(opened.nonce.as_deref(), Some("n-0S6"));
    assert_eq!(opened.reached, Reached::Resource { id: world.notes, url: NOTES.into() });
    assert_eq!(opened.scopes, scopes("notes:read notes:write"), "those of the grant that the resource knows");
    assert_eq!(world.store.find_session(session.id).await.unwrap().as_ref(), Some(session));

    let devices = world.store.list_devices(world.ada).await.unwrap();
    assert_eq!((devices.len(), Some(devices[0].id)), (1, session.device));
    let listed = world.store.list_sessions_of(world.ada, None, 10, world.now).await.unwrap();
    assert_eq!(
        (listed.items[0].client.as_str(), &listed.items[0].device),
        ("hallpass-cli", &devices.first().cloned())
    );

    let issued = Filter { event: Some(Event::Issued), ..Filter::default() };
    let row = &world.store.list_ledger(&issued, 0, 1).await.unwrap().items[0];
    let personal = row.personal.as_ref().unwrap();
    assert_eq!(personal.find(Field::Machine), Some("ada-laptop"));
    assert_eq!(personal.find(Field::Purpose), Some("write the notes"));
    assert!(!row.leaf.contains("ada-laptop") && !row.leaf.contains("203.0.113"));
}

#[tokio::test]
async fn the_same_machine_is_one_device_and_keeps_its_newest_name() {
    let world = World::new().await;
    let first = world.log_in(None).await.session.device;
    let renamed = hallpass_model::device::DeviceClaim { name: "ada-desk".into(), ..laptop() };
    let code = world.issue_code(IssueCode { device: Some(renamed), ..world.code() }).await;
    let CodeRedeemed::Opened(second) = world.change(world.redeem_code(code)).await else { panic!("refused") };
    assert_eq!(second.session.device, first);
    assert_eq!(world.store.list_devices(world.ada).await.unwrap()[0].name, "ada-desk");
}

#[tokio::test]
async fn a_second_redemption_cuts_what_the_first_made() {
    let mut world = World::new().await;
    let code = world.issue_code(world.code()).await;
    let CodeRedeemed::Opened(opened) = world.change(world.redeem_code(same(&code))).await else {
        panic!("refused")
    };
    // Whoever lacks the verifier ends nothing by trying.
    let thief =
        RedeemCode { code_verifier: Secret::from_text("x".repeat(43)), ..world.redeem_code(same(&code)) };
    assert_eq!(refusal(world.change(thief).await), CodeRefusal::CodeVerifier);
    assert!(world.store.is_dead(&crate::cuts::place(&opened)).await.unwrap().is_none());
    // The replay is known even after the code would have been over.
    world.wait(AUTHORIZATION_CODE + Lifetime::minutes(5));
    assert_eq!(refusal(world.change(world.redeem_code(same(&code))).await), CodeRefusal::Replayed);
    assert_eq!(world.store.is_dead(&crate::cuts::place(&opened)).await.unwrap(), Some(Why::CodeReplayed));
    let refreshed = world.refresh(&token(&opened), None).await;
    assert!(matches!(refreshed, Redeemed::Refused(Refusal::Cut(_))), "{refreshed:?}");
}

#[tokio::test]
async fn two_racing_redemptions_give_one_session() {
    let world = World::new().await;
    let code = world.issue_code(world.code()).await;
    let redeem = || world.change(world.redeem_code(same(&code)));
    let (one, two) = tokio::join!(redeem(), redeem());
    let opened = [&one, &two].into_iter().filter(|r| matches!(r, CodeRedeemed::Opened(_))).count();
    assert_eq!(opened, 1, "{one:?} {two:?}");
}

#[tokio::test]
async fn a_code_is_refused_to_whoever_is_not_meant_and_not_used_up_by_that() {
    let mut world = World::new().await;
    let code = world.issue_code(IssueCode { dpop_jkt: Some(key(1)), ..world.code() }).await;
    let good = || RedeemCode { proof: Some(world.proof(key(1))), ..world.redeem_code(same(&code)) };
    let other = world.change(add_org("other")).await.unwrap();
    let cases = [
        (RedeemCode { code: Secret::from_text("hpc_no".into()), ..good() }, CodeRefusal::Unknown),
        (RedeemCode { org: other.org, ..good() }, CodeRefusal::OtherClient),
        (RedeemCode { client: ClientId::from_bytes([1; 16]), ..good() }, CodeRefusal::OtherClient),
        (RedeemCode { redirect_uri: Some("http://127.0.0.1/".into()), ..good() }, CodeRefusal::RedirectUri),
        (
            RedeemCode { code_verifier: Secret::from_text("y".repeat(43)), ..good() },
            CodeRefusal::CodeVerifier,
        ),
        (RedeemCode { proof: None, ..good() }, CodeRefusal::Proof),
        (RedeemCode { proof: Some(world.proof(key(2))), ..good() }, CodeRefusal::Proof),
        (
            RedeemCode {
                wanted: Wanted {
                    reach: Reach::Resource("https://else.example/".into()),
                    ..Wanted::default()
                },
                ..good()
            },
            CodeRefusal::OutOfGrant(OutOfGrant::Resource),
        ),
        (
            RedeemCode { wanted: Wanted { scopes: Some(scopes("notes:delete")), ..for_notes() }, ..good() },
            CodeRefusal::OutOfGrant(OutOfGrant::Scope),
        ),
    ];
    for (redeem, why) in cases {
        assert_eq!(refusal(world.change(redeem).await), why);
    }
    let last = good();
    world.wait(AUTHORIZATION_CODE);
    assert_eq!(refusal(world.change(last).await), CodeRefusal::Over, "at its very end it is over");
    world.now = world.now - Lifetime::millis(1);
    let redeem = RedeemCode { proof: Some(world.proof(key(1))), ..world.redeem_code(code) };
    assert!(matches!(world.change(redeem).await, CodeRedeemed::Opened(_)));
}

#[tokio::test]
async fn nothing_is_issued_to_or_for_what_is_disabled() {
    let world = World::new().await;
    let code = world.issue_code(world.code()).await;
    let notes = SetResourceStanding { org: world.org, resource: world.notes, active: false };
    world.change(notes).await;
    let redeem = RedeemCode { wanted: for_notes(), ..world.redeem_code(same(&code)) };
    assert_eq!(refusal(world.change(redeem).await), CodeRefusal::OutOfGrant(OutOfGrant::Disabled));
    world.change(SetClientStanding { org: world.org, client: world.cli, active: false }).await;
    assert_eq!(refusal(world.change(world.redeem_code(same(&code))).await), CodeRefusal::Revoked);
    assert!(matches!(world.change(world.code()).await, CodeIssued::Refused(Refusal::Disabled)));
    // Back in use, the code stays dead: it was issued before the cut.
    world.change(SetClientStanding { org: world.org, client: world.cli, active: true }).await;
    assert_eq!(refusal(world.change(world.redeem_code(code)).await), CodeRefusal::Revoked);
    assert!(matches!(world.change(world.code()).await, CodeIssued::Issued { .. }));
}

#[tokio::test]
async fn without_a_refresh_token_a_session_is_as_short_as_its_access_token() {
    let world = World::new().await;
    let code = world.issue_code(world.code()).await;
    let redeem = RedeemCode { refresh: RefreshTokens::Never, ..world.redeem_code(code) };
    let CodeRedeemed::Opened(opened) = world.change(redeem).await else { panic!("refused") };
    assert!(opened.refresh_token.is_none());
    assert!(opened.session.expires <= world.now + hallpass_model::lifetimes::ACCESS_TOKEN_MAX);
}
