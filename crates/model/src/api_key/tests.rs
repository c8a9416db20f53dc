use proptest::prelude::*;

use super::*;
use crate::id::{ClientId, OrgId, TeamId};
use crate::lifetimes::{ACCESS_TOKEN_MAX, API_KEY_MAX};
use crate::random::Seeded;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn scopes(text: &str) -> Scopes {
    Scopes::parse(text).unwrap()
}

fn key() -> (ApiKey, KeySecret) {
    let entropy = Seeded::new(1);
    let id = CredentialId::new(NOW, &entropy);
    let key = ApiKey {
        id,
        org: OrgId::new(NOW, &entropy),
        handle: "nightly".parse().unwrap(),
        client: ClientId::new(NOW, &entropy),
        owner: Owner::Team(TeamId::new(NOW, &entropy)),
        environment: "prod".parse().unwrap(),
        scopes: scopes("notes:read notes:write"),
        resources: vec!["https://notes.example".into()],
        networks: Vec::new(),
        direct: None,
        exception: None,
        migrating_since: None,
        ends: None,
        created: NOW,
    };
    let secret = KeySecret {
        id: CredentialId::new(NOW, &entropy),
        key: id,
        succeeds: None,
        created: NOW,
        expires: NOW + Lifetime::days(30),
        revoked: None,
    };
    (key, secret)
}

fn excepted(until: Timestamp) -> Excepted {
    Excepted { reason: Purpose::parse("a vendor's tool").unwrap(), until }
}

#[test]
fn a_key_is_of_use_until_it_is_over_or_taken_back_and_not_at_that_moment() {
    let (key, secret) = key();
    let at = |now| key.may_be_used(&secret, Way::Exchange, None, now);
    assert_eq!(at(NOW), Ok(()));
    assert_eq!(at(secret.expires - Lifetime::millis(1)), Ok(()));
    assert_eq!(at(secret.expires), Err(KeyRefusal::Expired));
    let revoked = KeySecret { revoked: Some((NOW, Why::SignedOut)), ..secret };
    assert_eq!(key.may_be_used(&revoked, Way::Exchange, None, NOW), Err(KeyRefusal::Revoked));
}

#[test]
fn the_end_of_a_migration_is_the_end_of_every_secret() {
    let (key, secret) = key();
    let key = ApiKey { ends: Some(NOW + Lifetime::days(1)), ..key };
    let later = NOW + Lifetime::days(1);
    assert_eq!(key.may_be_used(&secret, Way::Exchange, None, later), Err(KeyRefusal::Expired));
    let given = key.give(&secret, Asked::default(), &OrgLimits::default(), later - Lifetime::minutes(1));
    assert_eq!(given.unwrap().expires, later);
}

#[test]
fn networks_bind_both_ways_and_an_unknown_address_is_in_none() {
    let (key, secret) = key();
    let key = ApiKey {
        networks: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        direct: Some(excepted(NOW + Lifetime::days(1))),
        ..key
    };
    for way in [Way::Exchange, Way::Direct] {
        let from = |address: &str| key.may_be_used(&secret, way, Some(address.parse().unwrap()), NOW);
        for inside in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"] {
            assert_eq!(from(inside), Ok(()), "{inside}");
        }
        for outside in ["11.1.2.3", "::ffff:11.1.2.3", "2001:db9::7", "::1"] {
            assert_eq!(from(outside), Err(KeyRefusal::Network), "{outside}");
        }
        assert_eq!(key.may_be_used(&secret, way, None, NOW), Err(KeyRefusal::AddressUnsaid));
    }
}

#[test]
fn it_is_sent_to_an_api_by_an_exception_alone_and_no_longer_than_that() {
    let (key, secret) = key();
    let direct = |key: &ApiKey, now| key.may_be_used(&secret, Way::Direct, None, now);
    assert_eq!(direct(&key, NOW), Err(KeyRefusal::NotDirect));
    let until = NOW + Lifetime::days(2);
    let key = ApiKey { direct: Some(excepted(until)), ..key };
    assert_eq!(direct(&key, until - Lifetime::millis(1)), Ok(()));
    assert_eq!(direct(&key, until), Err(KeyRefusal::DirectOver));
    assert_eq!(key.may_be_used(&secret, Way::Exchange, None, until), Ok(()));
}

#[test]
fn an_exception_is_asked_for_where_the_org_says_so_and_outlives_the_key() {
    let ends = NOW + Lifetime::days(30);
    assert_eq!(judge_exception(false, None, ends), Ok(()));
    assert_eq!(judge_exception(true, None, ends), Err(NotExcepted::None));
    assert_eq!(judge_exception(true, Some(&excepted(ends)), ends), Ok(()));
    let short = excepted(ends - Lifetime::millis(1));
    for requires in [true, false] {
        assert_eq!(judge_exception(requires, Some(&short), ends), Err(NotExcepted::TooShort));
    }
}

#[test]
fn a_secret_is_recognised_by_its_spelling() {
    let text = spelling::render(Prefix::ApiKey, &[7; RANDOM_BYTES]);
    assert!(text.starts_with("hpk_") && judge_spelling(&text).is_ok());
    assert_eq!(judge_spelling(&text[..text.len() - 1]), Err(BadSpelling::Malformed));
    assert_eq!(judge_spelling("sk_live_x"), Err(BadSpelling::Prefix));
    let mut changed = text.to_string();
    let last = changed.pop().unwrap();
    changed.push(if last == '0' { '1' } else { '0' });
    assert!(judge_spelling(&changed).is_err());
}

fn some_scopes() -> impl Strategy<Value = Scopes> {
    proptest::sample::subsequence(vec!["a", "b", "c", "d"], 0..=4)
        .prop_map(|scopes| Scopes::collect(scopes).unwrap())
}

fn some_resources() -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence(vec!["https://a", "https://b", "https://c"], 1..=3)
        .prop_map(|urls| urls.into_iter().map(str::to_owned).collect())
}

proptest! {
    /// No exchange widens scope, audience or life, whatever is asked and whatever the org says.
    #[test]
    fn a_token_is_within_its_key(
        has in some_scopes(),
        resources in some_resources(),
        wants in proptest::option::of(some_scopes()),
        target in proptest::option::of(proptest::sample::select(vec!["https://a", "https://b", "https://c", "https://d"])),
        seconds in proptest::option::of(1u32..100_000),
        org in proptest::option::of(1u32..100_000),
        left in 1i64..200_000_000,
        ends in proptest::option::of(1i64..200_000_000),
    ) {
        let (key, secret) = key();
        let ends = ends.map(|left| NOW + Lifetime::millis(left as u32));
        let key = ApiKey { scopes: has.clone(), resources: resources.clone(), ends, ..key };
        let secret = KeySecret { expires: NOW + Lifetime::millis(left as u32), ..secret };
        let limits = OrgLimits { access_token: org.map(Lifetime::seconds), ..OrgLimits::default() };
        let asked = Asked { resource: target, scopes: wants.as_ref(), lifetime: seconds.map(Lifetime::seconds) };
        match key.give(&secret, asked, &limits, NOW) {
            Ok(given) => {
                prop_assert!(has.include(&given.scopes));
                prop_assert!(wants.is_none_or(|wants| wants.include(&given.scopes)));
                prop_assert!(resources.contains(&given.resource));
                prop_assert!(target.is_none_or(|target| target == given.resource));
                prop_assert!(given.expires <= secret.expires && given.expires <= NOW + ACCESS_TOKEN_MAX);
                prop_assert!(ends.is_none_or(|ends| given.expires <= ends));
                prop_assert!(seconds.is_none_or(|wanted| given.expires <= NOW + Lifetime::seconds(wanted)));
                prop_assert!(org.is_none_or(|most| given.expires <= NOW + Lifetime::seconds(most)));
            }
            Err(KeyRefusal::Scope) => prop_assert!(!has.include(&wants.unwrap())),
            Err(KeyRefusal::Resource) => prop_assert!(!resources.iter().any(|one| Some(one.as_str()) == target)),
            Err(KeyRefusal::Ambiguous) => prop_assert!(target.is_none() && resources.len() > 1),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    /// A key lives as long as the table says at most, whatever an org would like.
    #[test]
    fn an_org_only_shortens(own in proptest::option::of(0u32..100_000_000)) {
        let limits = OrgLimits { api_key: own.map(Lifetime::seconds), ..OrgLimits::default() };
        prop_assert!(limits.api_key() <= API_KEY_MAX);
        prop_assert!(own.is_none_or(|own| limits.api_key() <= Lifetime::seconds(own)));
    }
}
