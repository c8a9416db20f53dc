use std::sync::{Arc, Mutex};

use hallpass_holder::{
    AskPasted, Flow, HolderError, LoginEvent, LoginRequest, NotTheAnswer, Secret, SignedIn, Surroundings,
};
use hallpass_testkit::small_provider::{Manner, SmallProvider};

use crate::desk::{Desk, request};

/// A browser elsewhere: it is sent back to a port that it cannot reach, and shows that address.
async fn last_address(address: &str) -> String {
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let answer = client.get(address).send().await.unwrap();
    answer.headers()["location"].to_str().unwrap().to_owned()
}

/// What was seen of a login by a person who pastes.
#[derive(Default)]
struct Seen {
    addresses: Vec<(String, String)>,
    refused: Vec<NotTheAnswer>,
    said: Vec<String>,
}

/// What a person makes of the address that they see.
type Change = fn(&str) -> String;

/// Signs in, the person pasting what `lines` make of the last address, one after the other, and then nothing any more.
async fn login_pasting(
    desk: &Desk,
    request: LoginRequest,
    lines: &[Change],
) -> (Result<SignedIn, HolderError>, Seen) {
    let (shown, pasted) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(String::new())));
    let lines: Arc<Mutex<Vec<Change>>> = Arc::new(Mutex::new(lines.iter().rev().copied().collect()));
    let at = shown.clone();
    let ask = AskPasted::new(move || {
        let (at, pasted, lines) = (at.clone(), pasted.clone(), lines.clone());
        async move {
            if pasted.lock().unwrap().is_empty() {
                let address = at.lock().unwrap().clone();
                let last = last_address(&address).await;
                *pasted.lock().unwrap() = last;
            }
            let change = lines.lock().unwrap().pop();
            Ok(change.map(|change| Secret::from_text(change(&pasted.lock().unwrap()))))
        }
    });
    let mut seen = Seen::default();
    let request = request.with(|request| request.ask_pasted = Some(ask));
    let mut see = |event: LoginEvent<'_>| match event {
        LoginEvent::ToPaste { address, ends_at, .. } => {
            *shown.lock().unwrap() = address.to_owned();
            seen.addresses.push((address.to_owned(), ends_at.to_owned()));
        }
        LoginEvent::NotTheAnswer { why, .. } => seen.refused.push(why),
        LoginEvent::Chose(choice) => seen.said.push(format!("{}: {}", choice.flow, choice.why)),
        LoginEvent::Note(note) => seen.said.push(note.to_owned()),
        _ => {}
    };
    let outcome = desk.login_seeing(request, &mut see).await;
    (outcome, seen)
}

fn pasting(provider: &SmallProvider) -> LoginRequest {
    request(provider).with(|request| {
        request.flow = Some(Flow::Paste);
        request.surroundings = over_ssh();
    })
}

fn over_ssh() -> Surroundings {
    let mut at = Surroundings::default();
    (at.ssh, at.ssh_terminal, at.terminal) = (true, true, true);
    at
}

#[tokio::test]
async fn a_pasted_address_signs_in_and_nothing_listens_where_it_leads() {
    for ours in [true, false] {
        let provider = SmallProvider::start(Manner { ours, ..Manner::default() }).await;
        let desk = Desk::new();
        let (outcome, seen) = login_pasting(&desk, pasting(&provider), &[|address| address.to_owned()]).await;
        let signed_in = outcome.unwrap();
        assert_eq!((signed_in.flow, signed_in.bound), (Flow::Paste, ours));
        desk.token(&signed_in.identity).await.unwrap();
        let asked = provider.last_form("authorize");
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["redirect_uri"], seen.addresses[0].1);
        let port = asked["redirect_uri"].strip_prefix("http://127.0.0.1:").unwrap();
        let port: u16 = port.split('/').next().unwrap().parse().unwrap();
        assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_ok(), "it is free");
    }
}

#[tokio::test]
async fn what_is_not_the_answer_is_said_to_be_and_asked_for_again_a_few_times() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let good: Change = |address| address.to_owned();
    let wrong: [Change; 5] = [
        |address| address.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned(),
        |_| "https://elsewhere.example/?code=c&state=s".into(),
        |address| address.replace("state=", "state=x"),
        |address| address.replace("&state", "\r\n&state"),
        |address| format!("{address}&x={}", "x".repeat(hallpass_holder::PASTED_LEN_MAX)),
    ];
    let lines = [&wrong[..4], &[good]].concat();
    let (outcome, seen) = login_pasting(&desk, pasting(&provider), &lines).await;
    use NotTheAnswer::*;
    assert_eq!(seen.refused, [NoAddress, Elsewhere, Another, Broken]);
    desk.holder.logout(&outcome.unwrap().identity).await.unwrap();
    assert_eq!(provider.asked("authorization_code"), 1, "no line but the right one was sent anywhere");

    let lines = [&wrong[..], &[good]].concat();
    let (outcome, seen) = login_pasting(&desk, pasting(&provider), &lines).await;
    assert!(matches!(outcome, Err(HolderError::NoAnswerPasted)), "{outcome:?}");
    assert_eq!(seen.refused.len(), 5);
    assert_eq!(provider.asked("authorization_code"), 1);
    assert!(desk.holder.list().unwrap().is_empty());
}

#[tokio::test]
async fn a_pasted_refusal_is_told_and_a_pasted_answer_of_another_issuer_goes_nowhere() {
    let provider = SmallProvider::start(Manner { approves: Some(false), ..Manner::default() }).await;
    let desk = Desk::new();
    let (outcome, _) = login_pasting(&desk, pasting(&provider), &[|address| address.to_owned()]).await;
    assert!(matches!(outcome, Err(HolderError::Denied)), "{outcome:?}");

    provider.change(|manner| manner.approves = Some(true));
    let evil: Change =
        |address| format!("{}&iss=https%3A%2F%2Fevil.example", address.split("&iss=").next().unwrap());
    let silent: Change = |address| address.split("&iss=").next().unwrap().to_owned();
    for change in [evil, silent] {
        let (outcome, _) = login_pasting(&desk, pasting(&provider), &[change]).await;
        assert!(matches!(outcome, Err(HolderError::NotBelieved { .. })), "{outcome:?}");
    }
    assert_eq!(provider.asked("authorization_code"), 0);
    let (outcome, _) = login_pasting(&desk, pasting(&provider), &[]).await;
    assert!(matches!(outcome, Err(HolderError::Cancelled)), "nobody pastes: {outcome:?}");
}

#[tokio::test]
async fn where_a_tenant_forbids_codes_that_is_said_and_an_address_is_pasted_instead() {
    for refusal in ["unauthorized_client", "invalid_grant", "access_denied", "device_flow_disabled", "404"] {
        let manner = Manner { ours: false, refuses_codes: Some(refusal), ..Manner::default() };
        let provider = SmallProvider::start(manner).await;
        let asked = || pasting(&provider).with(|request| request.flow = None);
        let (outcome, seen) = login_pasting(&Desk::new(), asked(), &[|address| address.to_owned()]).await;
        assert_eq!(outcome.unwrap().flow, Flow::Paste, "{refusal}");
        assert!(seen.said[0].starts_with("device: "), "{:?}", seen.said);
        let why = if refusal == "404" { "404" } else { "AADSTS53003" };
        assert!(seen.said[1].contains("no code") && seen.said[1].contains(why), "{:?}", seen.said);
        assert!(seen.said[2].starts_with("paste: "), "{:?}", seen.said);

        // Whoever asked for a code is told that there is none, and who cannot paste is told the same.
        let by_code = asked().with(|request| request.flow = Some(Flow::Device));
        let (outcome, _) = login_pasting(&Desk::new(), by_code, &[]).await;
        assert!(!matches!(outcome, Ok(_) | Err(HolderError::Denied | HolderError::Cancelled)), "{outcome:?}");
        let outcome = Desk::new().login(asked()).await;
        assert!(!matches!(outcome, Ok(_) | Err(HolderError::Denied | HolderError::Cancelled)), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_codes_are_refused_for_that_any_flow_would_be_is_an_error() {
    let manner = Manner { refuses_codes: Some("invalid_scope"), ..Manner::default() };
    let provider = SmallProvider::start(manner).await;
    let asked = pasting(&provider).with(|request| request.flow = None);
    let (outcome, seen) = login_pasting(&Desk::new(), asked, &[|address| address.to_owned()]).await;
    assert!(matches!(outcome, Err(HolderError::Refused { .. })), "{outcome:?}");
    assert!(seen.addresses.is_empty());
}
