//! Answering a device login (RFC 8628, section 3.3; RFC 10027): the code, the question, the answer, and taking it back.
//!
//! 1. Whoever is not logged in logs in first, also with a link that brings the code along: what a page says of a request
//!    is for people of the org alone, and guesses are counted by account.
//! 2. A right code shows what is asked for, and asks. Nothing is approved by opening a link.
//! 3. The answer comes with the code once more, so that it counts as a guess, too.
//! 4. The page after an approval says what to do if it was a mistake, and a button there ends it.

use std::net::IpAddr;

use axum::response::Response;
use hallpass_model::grant::Approval;
use hallpass_model::id::{ClientId, GrantId};
use hallpass_model::role::Act;
use hallpass_model::session::Session;
use hallpass_model::spelling::user_code;
use hallpass_store::{
    Answer, AnswerDevice, Approver, DeviceAnswered, DeviceGrant, DeviceState, EndAfterApproval,
    EndedAfterApproval, GuessUserCode, Guessed,
};
use http::StatusCode;

use crate::authorize::see_other;
use crate::consent::{self, Wanted};
use crate::limits;
use crate::login::Target;
use crate::pages::Here;
use crate::pages::answer::page;
use crate::pages::asking::{Answered, DeviceAnswerPage, DeviceApprovalPage, DeviceEntryPage};
use crate::pages::when::{Moment, length};
use crate::raise;
use crate::trouble::Trouble;
use crate::web::Person;

/// `GET /{org}/device`: where the code is typed. A link may bring it along (`verification_uri_complete`).
pub(crate) async fn show(person: Person) -> Result<Response, Trouble> {
    person.permit(Act::ApproveForOneself).await?;
    let code = person.visit.form.find("user_code").and_then(user_code::parse);
    let code = code.map(|code| user_code::render(&code)).unwrap_or_default();
    Ok(entry(&person, StatusCode::OK, code, None))
}

fn entry(person: &Person, status: StatusCode, code: String, trouble: Option<String>) -> Response {
    let shown = DeviceEntryPage {
        frame: person.frame(Here::Device, "Enter a code"),
        org: person.head(),
        csrf: person.csrf.clone(),
        code,
        trouble,
    };
    page(status, &shown)
}

/// `POST /{org}/device`: a code, and perhaps the answer.
pub(crate) async fn answer(person: Person) -> Result<Response, Trouble> {
    let typed = person.visit.form.find("code").unwrap_or_default();
    let shown: String = typed.chars().take(CODE_SHOWN).collect();
    let wrong = |status, trouble: String| Ok(entry(&person, status, shown, Some(trouble)));
    let Some(code) = user_code::parse(typed) else {
        return wrong(
            StatusCode::BAD_REQUEST,
            "A code has eight letters, as in XXXX-XXXX, and no vowels.".into(),
        );
    };
    let guess = GuessUserCode {
        org: person.org.id(),
        person: person.person.id,
        address_prefix: person
            .visit
            .address
            .map(|address| limits::network_of(address).to_string())
            .unwrap_or_default(),
        typed: code.clone(),
    };
    let now = person.visit.now;
    let grant = match person.change(Act::ApproveForOneself, guess).await? {
        Guessed::Found(grant) => grant,
        Guessed::Wrong => {
            return wrong(
                StatusCode::NOT_FOUND,
                "No program is waiting with this code. It may be mistyped, or its ten minutes are over."
                    .into(),
            );
        }
        Guessed::TooMany { until } => {
            let wait = length(until.since(now));
            return wrong(
                StatusCode::TOO_MANY_REQUESTS,
                format!("Too many wrong codes. Try again in {wait}."),
            );
        }
    };
    match person.visit.form.find("answer") {
        _ if grant.state != DeviceState::Waiting => already(&person, &grant),
        _ if now >= grant.expires => Err(over(&person)),
        None => ask(&person, &grant, &code).await,
        Some("yes") => decide(&person, &grant, Answer::Yes).await,
        Some("no") => decide(&person, &grant, Answer::No).await,
        Some(_) => Err(Trouble::no_answer().at(person.head())),
    }
}

/// What is shown again of what was typed: a code and its dash, with room to see what went wrong.
const CODE_SHOWN: usize = 16;

async fn ask(person: &Person, grant: &DeviceGrant, code: &str) -> Result<Response, Trouble> {
    let raises = raise::on_page(person, grant.raises).await?;
    if !grant.may_be_approved_by(&person.web.authentication) {
        // They come back with the code, which is then typed already.
        return Ok(Target::Device(Some(code.to_owned())).to_login_again(person.org.org.name.as_str()));
    }
    let client = consent::client(person, grant.client).await?;
    let wanted = Wanted {
        scopes: &grant.scopes,
        resources: &grant.resources,
        purpose: grant.purpose.as_ref(),
        device: grant.device.as_ref(),
    };
    let mut asked = consent::asked(person, &client, &wanted).await?;
    if let Some(raised) = &raises {
        raised.say_in(&mut asked);
    }
    let asked_from = grant.requester_address.parse().ok();
    let shown = DeviceApprovalPage {
        frame: person.frame(Here::Asking, "Approve a program"),
        org: person.head(),
        csrf: person.csrf.clone(),
        asked,
        raises,
        code: user_code::render(code),
        asked_from: address_in_words(asked_from),
        asked_here: asked_from.is_some_and(|ip| ip.to_canonical().is_loopback()),
        asked_when: Moment::new(grant.created, person.visit.now).short,
        browser_at: address_in_words(person.visit.address),
        differs: differs(asked_from, person.visit.address),
    };
    Ok(page(StatusCode::OK, &shown))
}

fn address_in_words(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        Some(address) => address.to_string(),
        None => "an unknown address".to_owned(),
    }
}

/// Whether two addresses are of two machines, as far as addresses say. What is not known differs.
fn differs(one: Option<IpAddr>, two: Option<IpAddr>) -> bool {
    match (one.map(|ip| ip.to_canonical()), two.map(|ip| ip.to_canonical())) {
        (Some(one), Some(two)) => one != two && !(one.is_loopback() && two.is_loopback()),
        _ => true,
    }
}

async fn decide(person: &Person, grant: &DeviceGrant, answer: Answer) -> Result<Response, Trouble> {
    let change = AnswerDevice {
        org: person.org.id(),
        grant: grant.id,
        by: Approver {
            principal: person.person.id,
            authentication: person.web.authentication.clone(),
            approval: Approval::DevicePage,
        },
        answer,
        address: person.visit.address.map(|address| address.to_string()).unwrap_or_default(),
    };
    match person.change(Act::ApproveForOneself, change).await? {
        DeviceAnswered::Approved | DeviceAnswered::Denied => Ok(to_answer(person, grant.id)),
        DeviceAnswered::Already(_) => already(person, grant),
        DeviceAnswered::Expired | DeviceAnswered::NotThere => Err(over(person)),
        DeviceAnswered::Unmet(_) => Err(Trouble::new(
            StatusCode::FORBIDDEN,
            "Log in once more",
            "This program wants you to prove once more that it is you, and your login is older than its request.",
            "Log in again, then enter the code that your terminal shows.",
        )
        .at(person.head())
        .link(person.path("login?to=device&again=1"), "Log in again")),
        DeviceAnswered::NotRaised(why) => Err(raise::refused(person, why)),
        DeviceAnswered::Refused(refusal) => Err(Trouble::new(
            StatusCode::FORBIDDEN,
            "This cannot be approved",
            format!("Nothing was given out: {refusal}."),
            "Ask an administrator of your organisation.",
        )
        .at(person.head())),
    }
}

/// 303, so that a reload shows the answer and sends nothing.
fn to_answer(person: &Person, grant: GrantId) -> Response {
    see_other(&format!("{}?request={grant}", person.path("device/answer")))
}

fn already(person: &Person, grant: &DeviceGrant) -> Result<Response, Trouble> {
    if grant.answered_by() == Some(person.person.id) {
        return Ok(to_answer(person, grant.id));
    }
    Err(Trouble::new(
        StatusCode::CONFLICT,
        "This request was answered already",
        "Somebody else entered this code before you, and answered.",
        "If it was your program, run its command again: it gets a new code. Then tell an administrator that somebody else had the first one.",
    )
    .at(person.head()))
}

fn over(person: &Person) -> Trouble {
    Trouble::new(
        StatusCode::GONE,
        "This code is over",
        "Codes work for ten minutes.",
        "Run the same command in your terminal once more: it shows a new code.",
    )
    .at(person.head())
    .link(person.path("device"), "Enter another code")
}

/// `GET /{org}/device/answer`: what became of a request this person answered.
pub(crate) async fn answered(person: Person) -> Result<Response, Trouble> {
    person.permit(Act::EndOwnSession).await?;
    let request = request(&person)?;
    let (client, answer) = find_answer(&person, request).await?.ok_or_else(|| nothing(&person))?;
    let client = consent::client(&person, client).await?;
    let title = match answer {
        Answered::Approved => "Approved",
        Answered::Denied => "Denied",
        Answered::Ended => "Ended",
    };
    let shown = DeviceAnswerPage {
        frame: person.frame(Here::Asking, title),
        org: person.head(),
        csrf: person.csrf.clone(),
        answer,
        client: client.name.clone(),
        request: request.to_string(),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// `POST /{org}/device/end`: this was not me.
pub(crate) async fn end(person: Person) -> Result<Response, Trouble> {
    let request = request(&person)?;
    let end = EndAfterApproval { org: person.org.id(), grant: request, by: person.person.id };
    match person.change(Act::EndOwnSession, end).await? {
        EndedAfterApproval::NotThere => Err(nothing(&person)),
        EndedAfterApproval::Denied | EndedAfterApproval::SessionCut(_) | EndedAfterApproval::Already => {
            Ok(to_answer(&person, request))
        }
    }
}

fn request(person: &Person) -> Result<GrantId, Trouble> {
    person.visit.form.required("request")?.parse().map_err(|_| nothing(person))
}

/// The same for a request that never was, that is somebody else's, and that is over with nothing left of it: its id is
/// public, and shows nothing.
fn nothing(person: &Person) -> Trouble {
    Trouble::new(
        StatusCode::NOT_FOUND,
        "There is nothing to end here",
        "No program waits for this answer of yours, and none acts for you because of it.",
        "What can act for you stands among your sessions, with a button that ends it.",
    )
    .at(person.head())
    .link(person.path("sessions"), "Your sessions")
}

/// Which client asked, and what became of this person's answer. The request is forgotten minutes after its code is over;
/// a session that came of it is not.
async fn find_answer(person: &Person, request: GrantId) -> Result<Option<(ClientId, Answered)>, Trouble> {
    let store = &person.visit.issuer.store;
    let (org, own) = (person.org.id(), person.person.id);
    let Some(grant) = store.find_device_grant(request).await? else {
        let session = store.find_session_of(request).await?;
        let session = session.filter(|session| session.org == org && session.principal == own);
        return Ok(match session {
            Some(session) => Some((session.client, of_session(person, Some(session)).await?)),
            None => None,
        });
    };
    if grant.org != org || grant.answered_by() != Some(own) {
        return Ok(None);
    }
    let answer = match grant.state {
        DeviceState::Spent { session, .. } => of_session(person, store.find_session(session).await?).await?,
        DeviceState::Approved { .. } => Answered::Approved,
        DeviceState::Denied { .. } | DeviceState::Waiting => Answered::Denied,
    };
    Ok(Some((grant.client, answer)))
}

/// Whether the session that an approval became goes on.
async fn of_session(person: &Person, session: Option<Session>) -> Result<Answered, Trouble> {
    let goes_on = match session.filter(|session| session.alive(person.visit.now).is_ok()) {
        Some(session) => person.visit.issuer.store.is_session_dead(&session).await?.is_none(),
        None => false,
    };
    Ok(if goes_on { Answered::Approved } else { Answered::Ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_differ_unless_they_are_known_to_be_one() {
        let ip = |text: &str| text.parse::<IpAddr>().ok();
        assert!(!differs(ip("203.0.113.7"), ip("203.0.113.7")));
        assert!(!differs(ip("::ffff:203.0.113.7"), ip("203.0.113.7")));
        assert!(!differs(ip("127.0.0.1"), ip("::1")));
        assert!(differs(ip("203.0.113.7"), ip("203.0.113.8")));
        assert!(differs(None, None));
    }
}
