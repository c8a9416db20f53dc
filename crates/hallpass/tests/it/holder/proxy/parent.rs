//! The person's own proxy: what is set for them is where a run's proxy goes through, and the command does not see it.

use super::Place;
use crate::holder::behind::Api;
use crate::holder::machine::{Said, in_time};
use crate::holder::network::Proxy;

async fn run(place: &Place, parent: &str, more: &[(&str, &str)], line: &str) -> Said {
    let mut command = place.exec(&[], line);
    command.env("HTTPS_PROXY", parent).env("http_proxy", parent).envs(more.iter().copied());
    Said(in_time(command.output()).await.unwrap())
}

fn host(api: &Api) -> &str {
    api.origin.trim_start_matches("https://")
}

#[tokio::test]
async fn named_hosts_and_others_are_reached_through_the_person_s_own_proxy() {
    let place = Place::over_https().await;
    let (other, parent) = (Api::start(place.vouching.as_ref()).await, Proxy::start().await);
    let line = format!(
        "curl -sS $API/named; curl -sS $HALLPASS_PROXY_URL/reverse; curl -sS {}/other; curl -sS http://plain.test/x; env",
        other.origin
    );
    let by = parent.url().replace("http://", "http://me:hunter2@");
    let said = run(&place, &by, &[], &line).await;
    assert!(said.out().starts_with("notednotedrefusedfrom the parent"), "{} {}", said.out(), said.err());
    assert!(!said.out().contains("hunter2") && !said.out().contains(&parent.url()), "{}", said.out());
    let tunnel = |api: &Api| format!("CONNECT {} HTTP/1.1", host(api));
    let expected = [
        tunnel(&place.api),
        tunnel(&place.api),
        tunnel(&other),
        "GET http://plain.test/x HTTP/1.1".to_owned(),
    ];
    assert_eq!(parent.asked(), expected);
    let basic = "Basic bWU6aHVudGVyMg=="; // me:hunter2
    assert!(parent.credentials().iter().all(|given| given == basic), "{:?}", parent.credentials());
    assert_eq!(parent.credentials().len(), 4);
    let token = place.api.last().token().unwrap().to_owned();
    assert!(!parent.read(&token) && !parent.read("hallpass:"), "what it carries it cannot read");
}

#[tokio::test]
async fn hosts_that_the_person_reaches_without_a_proxy_are_reached_without() {
    let place = Place::over_https().await;
    let (other, parent) = (Api::start(place.vouching.as_ref()).await, Proxy::start().await);
    let line = format!("curl -sS $API/named; curl -sS {}/other", other.origin);
    for without in [("NO_PROXY", "localhost"), ("no_proxy", "*"), ("NO_PROXY", "example.org, localhost")] {
        let said = run(&place, &parent.url(), &[without], &line).await;
        assert_eq!(said.out(), "notedrefused", "{without:?}: {}", said.err());
        assert_eq!(parent.asked(), [] as [&str; 0], "{without:?}");
    }
    // One that cannot be reached is said, and nothing goes around it.
    let said =
        run(&place, "http://127.0.0.1:9", &[], &format!("{line}; curl -sS -o /dev/null {}/x", other.origin))
            .await;
    assert!(said.out().contains("cannot be reached"), "{} {}", said.out(), said.err());
    assert!(said.err().contains("response 502"), "{}", said.err());
    assert_eq!(other.seen().len(), 3);
}
