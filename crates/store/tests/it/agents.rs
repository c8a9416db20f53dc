//! Runs of agents, over all their ways at once: however they are chained, and whatever is cut.

use hallpass_model::agent::{AgentKind, Budget, CHAIN_MAX};
use hallpass_model::cut::{Place, Stamp, Target, Why};
use hallpass_model::id::CredentialId;
use hallpass_model::ledger::{Event, Key};
use hallpass_model::random::{Entropy, Seeded};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{
    ActingFor, AgentRegistered, CutMade, Exchange, ExchangeRefusal, Exchanged, MakeCut, Narrowed, Opened,
    RegisterAgent, RunRefusal, Subject, Sweep,
};

use crate::cuts::{exchange, place};
use crate::world::{World, for_issuer, for_notes, scopes};

async fn register(world: &World, opened: &Opened, handle: &str, scope: &Scopes, longest: Lifetime) {
    let register = RegisterAgent {
        org: world.org,
        person: opened.session.principal,
        handle: handle.parse().unwrap(),
        kind: AgentKind::Coding,
        scopes: scope.clone(),
        longest,
        budget: Budget::default(),
    };
    assert!(matches!(world.change(register).await, AgentRegistered::Added(_) | AgentRegistered::Changed(_)));
}

/// A run of this agent, for the issuer itself, so that it can start another.
fn beginning(world: &World, opened: &Opened, subject: Subject, handle: &str) -> Exchange {
    Exchange {
        subject,
        acting: Some(ActingFor::NewRun(handle.parse().unwrap())),
        purpose: "a test".parse().ok(),
        wanted: for_issuer(),
        ..exchange(world, opened)
    }
}

/// Where a token that came of an exchange stands.
fn placed(opened: &Opened, narrowed: &Narrowed) -> Place {
    let mut credentials = vec![narrowed.credential];
    credentials.extend(&narrowed.lin);
    let acting = narrowed.acting.first().copied();
    Place { credentials, acting, stamp: narrowed.stamp, ..place(opened) }
}

fn subject(opened: &Opened, narrowed: &Narrowed) -> Subject {
    Subject { place: placed(opened, narrowed), scopes: narrowed.scopes.clone() }
}

async fn issued(world: &World, asked: Exchange) -> Narrowed {
    match world.change(asked).await {
        Exchanged::Issued(narrowed) => *narrowed,
        Exchanged::Refused(why) => panic!("{why}"),
    }
}

/// Over many chains of agents with scopes and lives by chance: what a link has, every link above it has, its agent may have,
/// and it is over no later.
#[tokio::test]
async fn no_chain_of_agents_ever_has_more_than_any_link_of_it() {
    const SCOPES: [&str; 3] = ["notes:read", "notes:write", "openid"];
    let world = World::new().await;
    let opened = world.log_in(None).await;
    let chance = Seeded::new(42);
    let some = |most: u8| {
        let mut byte = [0];
        chance.fill(&mut byte);
        byte[0] % most
    };
    let mut refused = 0;
    for round in 0..60 {
        let mut above = Subject { place: place(&opened), scopes: opened.scopes.clone() };
        let mut latest: Timestamp = opened.session.expires;
        for depth in 0..CHAIN_MAX {
            let bits = 1 + some(7);
            let picked = SCOPES.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
            let may = Scopes::collect(picked.map(|(_, scope)| *scope)).unwrap();
            let longest = Lifetime::seconds(60 + u32::from(some(200)));
            let handle = format!("agent-{depth}");
            register(&world, &opened, &handle, &may, longest).await;
            let expected = above.scopes.within(&may);
            let narrowed = match world.change(beginning(&world, &opened, above.clone(), &handle)).await {
                Exchanged::Issued(narrowed) => *narrowed,
                Exchanged::Refused(why) => {
                    let none = ExchangeRefusal::Run(RunRefusal::Scope);
                    assert_eq!((why, expected.is_empty()), (none, true), "round {round}, depth {depth}");
                    refused += 1;
                    break;
                }
            };
            assert_eq!(narrowed.scopes, expected, "round {round}, depth {depth}");
            assert!(narrowed.expires <= latest && narrowed.expires <= world.now + longest);
            assert_eq!(narrowed.acting.len(), depth + 1);
            for link in &narrowed.acting {
                assert!(narrowed.lin.contains(&link.run), "each run above it can be cut to end it");
            }
            let run = world.store.find_run(narrowed.acting[0].run).await.unwrap().unwrap();
            assert!(run.expires <= latest && above.scopes.include(&run.scopes));
            latest = run.expires;
            above = subject(&opened, &narrowed);
        }
        // Nobody may have more going than a person can look after.
        let end = hallpass_store::EndRuns {
            org: world.org,
            person: opened.session.principal,
            which: hallpass_store::WhichRuns::All,
            why: Why::EndedByPerson,
        };
        world.change(end).await;
    }
    assert!((1..60).contains(&refused), "both ways were met: {refused}");
}

/// What is refused to an agent's token is recorded as the agent's, whatever the reason.
#[tokio::test]
async fn a_refusal_of_an_agent_s_token_names_the_agent() {
    let world = World::new().await;
    let opened = world.log_in(None).await;
    register(&world, &opened, "coder", &scopes("notes:read openid"), Lifetime::hours(8)).await;
    let own = Subject { place: place(&opened), scopes: opened.scopes.clone() };
    let run = issued(&world, beginning(&world, &opened, own, "coder")).await;
    let asked =
        Exchange { subject: subject(&opened, &run), wanted: for_notes(), ..exchange(&world, &opened) };
    let target = Target::Session(opened.session.id);
    world.change(MakeCut { org: None, target, why: Why::SignedOut }).await;
    assert!(matches!(world.change(asked).await, Exchanged::Refused(_)));
    let entry = world.ledger().await.pop().unwrap();
    let (event, agent) = (entry.event, entry.detail.find(&Key::AGENT).map(ToString::to_string));
    assert_eq!((event, agent), (Event::Denied, Some(run.acting[0].agent.to_string())));
}

/// Each axis, the credentials of the lineage among them, cut before or after the pass was made.
#[tokio::test]
async fn whatever_is_cut_above_a_run_it_is_dead_and_gets_nothing() {
    for which in 0..7 {
        for forgotten in [false, true] {
            let mut world = World::new().await;
            let opened = world.log_in(None).await;
            let all = scopes("notes:read openid");
            register(&world, &opened, "coder", &all, Lifetime::hours(8)).await;
            register(&world, &opened, "helper", &all, Lifetime::hours(8)).await;
            let own = Subject { place: place(&opened), scopes: opened.scopes.clone() };
            let outer = issued(&world, beginning(&world, &opened, own, "coder")).await;
            let inner = issued(&world, beginning(&world, &opened, subject(&opened, &outer), "helper")).await;
            let of_inner = Exchange {
                subject: subject(&opened, &inner),
                wanted: for_notes(),
                ..exchange(&world, &opened)
            };
            let pass = issued(&world, of_inner.clone()).await;
            assert_eq!(world.store.is_dead(&placed(&opened, &pass)).await.unwrap(), None);
            let target = match which {
                0 => Target::Org(world.org),
                1 => Target::Principal(opened.session.principal),
                2 => Target::Client(opened.session.client),
                3 => Target::Session(opened.session.id),
                4 => Target::Credential(outer.acting[0].run),
                5 => Target::Credential(inner.acting[0].run),
                _ => Target::Credential(opened.credential),
            };
            let cut = MakeCut { org: None, target, why: Why::EndedByAdministrator };
            assert!(matches!(world.change(cut).await, CutMade::Cut(_)), "{target}");
            assert!(world.store.is_dead(&placed(&opened, &pass)).await.unwrap().is_some(), "{target}");
            if forgotten {
                // Once the cut has outlived what it could kill, it is forgotten; the run is not alive again for that.
                world.wait(Lifetime::hours(1));
                world.change(Sweep { steady: true, ..Sweep::default() }).await;
            }
            // That one token of the person's is dead is nothing to what was begun with it: the run is below the session.
            if target == Target::Credential(opened.credential) {
                continue;
            }
            // With a token that was made after the cut, and came of nothing that is dead but for the session.
            let stamp = Stamp(world.now.millis() + 1);
            let credentials = vec![CredentialId::from_bytes([9; 16])];
            let later = Place { credentials, stamp, ..place(&opened) };
            for run in [outer.acting[0].run, inner.acting[0].run] {
                let lives = target == Target::Credential(inner.acting[0].run) && run == outer.acting[0].run;
                let own = Subject { place: later.clone(), scopes: opened.scopes.clone() };
                let above = Subject {
                    place: Place { acting: outer.acting.first().copied(), ..later.clone() },
                    ..own.clone()
                };
                let subject = if run == outer.acting[0].run { own } else { above };
                let again =
                    Exchange { subject, acting: Some(ActingFor::Run(run)), ..exchange(&world, &opened) };
                let got = matches!(world.change(again).await, Exchanged::Issued(_));
                assert_eq!(got, lives, "{target} cut, {run} asks, forgotten: {forgotten}");
            }
        }
    }
}
