//! What the writer remembers of clients that ask for themselves: never what is so no more, or never was.

use hallpass_model::id::ClientId;
use hallpass_model::ledger::Actor;
use hallpass_model::principal::OrgLimits;
use hallpass_model::session::Refusal;
use hallpass_model::time::Lifetime;
use hallpass_store::{
    Assertion, Change, ClientIssued, ClientProof, IssueForClient, SetClientStanding, SetOrgLimits,
    SetOrgStanding, StoreError, Tx,
};

use crate::world::{World, for_issuer};

async fn service(world: &World) -> ClientId {
    world.change(crate::exchange::service(world)).await.unwrap()
}

fn ask(world: &World, client: ClientId, jti: &str) -> IssueForClient {
    let assertion = Assertion { jti: jti.into(), expires: world.now + Lifetime::minutes(5) };
    IssueForClient {
        org: world.org,
        client,
        proof: ClientProof::Assertion(assertion),
        key: None,
        wanted: for_issuer(),
    }
}

/// How long the token lives that it gets.
async fn lasts(world: &World, client: ClientId, jti: &str) -> Lifetime {
    match world.change(ask(world, client, jti)).await {
        ClientIssued::Issued(token) => token.expires.since(world.now),
        refused => panic!("{refused:?}"),
    }
}

#[tokio::test]
async fn what_an_org_narrows_holds_from_the_next_grant_on() {
    let world = World::new().await;
    let client = service(&world).await;
    let usual = lasts(&world, client, "1").await;
    let short = Lifetime::minutes(1);
    assert!(short < usual);
    let limits = OrgLimits { access_token: Some(short), ..OrgLimits::default() };
    world.change(SetOrgLimits { org: world.org, limits }).await.unwrap();
    assert_eq!(lasts(&world, client, "2").await, short);
    world.change(SetOrgLimits { org: world.org, limits: OrgLimits::default() }).await.unwrap();
    assert_eq!(lasts(&world, client, "3").await, usual);
    world.change(SetOrgStanding { org: world.org, active: false }).await;
    let refused = world.change(ask(&world, client, "4")).await;
    assert_eq!(refused, ClientIssued::Refused(Refusal::Disabled));
}

#[tokio::test]
async fn a_client_that_is_put_out_of_use_is_refused_in_the_very_same_commit() {
    let world = World::new().await;
    let client = service(&world).await;
    let asks = |jti| world.store.change(Actor::Nobody, world.now, ask(&world, client, jti));
    let stands = |active| {
        world.store.change(Actor::Operator, world.now, SetClientStanding { org: world.org, client, active })
    };
    let (before, _, between, _, after) =
        tokio::join!(asks("1"), stands(false), asks("2"), stands(true), asks("3"));
    assert!(matches!(before, Ok(ClientIssued::Issued(_))), "{before:?}");
    assert_eq!(between, Ok(ClientIssued::Refused(Refusal::Disabled)));
    assert!(matches!(after, Ok(ClientIssued::Issued(_))), "{after:?}");
}

/// Puts a client out of use, has it ask, and is undone.
struct Undone(SetClientStanding, IssueForClient);

impl Change for Undone {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.0.apply(tx)?;
        let asked = self.1.apply(tx)?;
        Err(StoreError::Backend(format!("on purpose, after {asked:?}")))
    }
}

#[tokio::test]
async fn what_was_undone_is_not_remembered() {
    let world = World::new().await;
    let client = service(&world).await;
    lasts(&world, client, "1").await;
    let stands = SetClientStanding { org: world.org, client, active: false };
    let undone = Undone(stands, ask(&world, client, "2"));
    let failed = world.store.change(Actor::Operator, world.now, undone).await;
    assert_eq!(failed, Err(StoreError::Backend("on purpose, after Refused(Disabled)".into())));
    lasts(&world, client, "2").await;
}
