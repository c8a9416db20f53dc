//! Your sessions: every program that can act for a person, and the button that ends it.

use axum::response::Response;
use hallpass_model::cut::Why;
use hallpass_model::device::DeviceClass;
use hallpass_model::grant::Approval;
use hallpass_model::id::SessionId;
use hallpass_model::role::Act;
use hallpass_model::rung::Rung;
use hallpass_model::time::Timestamp;
use hallpass_store::{
    CopiedDevice, EndOthers, EndSession, SessionEnded, SessionSummary, Sessions, StolenSession,
};
use http::StatusCode;

use crate::authorize::see_other;
use crate::pages::Here;
use crate::pages::account::{CopiedLine, SessionLine, SessionsPage, StolenLine};
use crate::pages::answer::page;
use crate::pages::when::Moment;
use crate::trouble::Trouble;
use crate::web::Person;

/// Sessions on one page: more than most people have, few enough to read.
const SHOWN: u32 = 100;

/// `GET /{org}/sessions`: the newest logins, or those before one.
pub(crate) async fn show(person: Person) -> Result<Response, Trouble> {
    person.permit(Act::EndOwnSession).await?;
    let now = person.visit.now;
    let before = person.visit.form.find("before").and_then(|before| before.parse::<SessionId>().ok());
    let listed = list(&person, before).await?;
    let mut summaries = listed.items;
    summaries.sort_by_key(|summary| std::cmp::Reverse(summary.used));
    let mut sessions = Vec::with_capacity(summaries.len());
    for summary in &summaries {
        sessions.push(line(&person, summary).await?);
    }
    let stolen = match before {
        None => person.visit.issuer.store.list_stolen_of(person.person.id).await?,
        Some(_) => Vec::new(),
    };
    let copied = match before {
        None => person.visit.issuer.store.list_copied_of(person.person.id, now).await?,
        Some(_) => Vec::new(),
    };
    let shown = SessionsPage {
        frame: person.frame(Here::Sessions, "Your sessions"),
        org: person.head(),
        csrf: person.csrf.clone(),
        sessions,
        newest: before.is_none(),
        next: listed.next.map(|next| next.to_string()),
        copied: copied.into_iter().map(|copied| copied_line(copied, now)).collect(),
        stolen: stolen.into_iter().map(|stolen| stolen_line(stolen, now)).collect(),
        browser: Moment::new(person.web.created, now),
        notice: person.visit.form.find("done").and_then(notice),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// The next live sessions, however many that are over lie between: a page must not look empty while one goes on.
async fn list(person: &Person, mut before: Option<SessionId>) -> Result<Sessions, Trouble> {
    let store = &person.visit.issuer.store;
    loop {
        let listed = store.list_sessions_of(person.person.id, before, SHOWN, person.visit.now).await?;
        if !listed.items.is_empty() || listed.next.is_none() {
            return Ok(listed);
        }
        before = listed.next;
        tokio::task::yield_now().await;
    }
}

fn copied_line(copied: CopiedDevice, now: Timestamp) -> CopiedLine {
    CopiedLine { device: copied.name, found_on: copied.found_on, at: Moment::new(copied.at, now) }
}

fn stolen_line(stolen: StolenSession, now: Timestamp) -> StolenLine {
    StolenLine {
        client: stolen.summary.client_name,
        device: stolen.summary.device.map(|device| device.name),
        ended: Moment::new(stolen.cut, now),
    }
}

fn notice(done: &str) -> Option<&'static str> {
    match done {
        "ended" => Some("Ended. Nothing that came of it works any more."),
        "all" => Some("All ended: every program, and every other browser you were logged in with."),
        "gone" => Some("That session was over already."),
        _ => None,
    }
}

async fn line(person: &Person, summary: &SessionSummary) -> Result<SessionLine, Trouble> {
    let (session, now) = (&summary.session, person.visit.now);
    let mut reach = Vec::with_capacity(session.grant.resources.len());
    for url in &session.grant.resources {
        let known = person.visit.issuer.store.find_resource_by_url(person.org.id(), url).await?;
        reach.push(known.map_or_else(|| url.clone(), |known| known.name.clone()));
    }
    Ok(SessionLine {
        id: session.id.to_string(),
        client: summary.client_name.clone(),
        device: summary.device.as_ref().map(|device| device.name.clone()),
        machine: machine(summary),
        purpose: session.grant.purpose.as_ref().map(ToString::to_string),
        local: session.grant.approval == Approval::AdminSocket,
        approval: match session.grant.approval {
            Approval::Browser => "by you, in a browser on that machine",
            Approval::DevicePage => "by you, with a code",
            Approval::AdminSocket => "by the server's operator, through its admin socket",
        },
        reach: (!reach.is_empty()).then(|| reach.join(", ")),
        began: Moment::new(session.created, now),
        used: Moment::new(summary.used, now),
        ends: Moment::new(session.idle_until.min(session.expires), now),
    })
}

/// What the holder says of its machine, in words.
fn machine(summary: &SessionSummary) -> Option<String> {
    let sort = summary.class.and_then(|class| match class {
        DeviceClass::Laptop => Some("one person’s"),
        DeviceClass::Server => Some("a server"),
        DeviceClass::SharedHost => Some("shared by several people"),
        DeviceClass::BuildAgent => Some("a build agent"),
        DeviceClass::Container => Some("a container"),
        DeviceClass::Unknown => None,
    });
    let rests = summary.rung.map(|rung| match rung {
        Rung::Passphrase => "the key is made from a passphrase".to_owned(),
        rung => format!("the key rests in the {rung}"),
    });
    let said: Vec<String> = sort.map(str::to_owned).into_iter().chain(rests).collect();
    (!said.is_empty()).then(|| format!("{}, as it says", said.join("; ")))
}

/// `POST /{org}/sessions`: ends one, or all others.
pub(crate) async fn end(person: Person) -> Result<Response, Trouble> {
    let done = match person.visit.form.find("act") {
        Some("end") => {
            let missing = |_| Trouble::not_found().at(person.head());
            let session = person.visit.form.required("session")?.parse().map_err(missing)?;
            let of = Some(person.person.id);
            let end = EndSession { org: person.org.id(), session, of, why: Why::EndedByPerson };
            match person.change(Act::EndOwnSession, end).await? {
                SessionEnded::Ended => "ended",
                SessionEnded::Already | SessionEnded::NotThere => "gone",
            }
        }
        Some("end-all") => {
            let keep = hallpass_model::secret::Secret::new(person.cookie.expose().to_vec());
            let end = EndOthers { org: person.org.id(), person: person.person.id, keep };
            person.change(Act::EndOwnSession, end).await?;
            "all"
        }
        _ => return Err(Trouble::no_answer().at(person.head())),
    };
    Ok(see_other(&format!("{}?done={done}", person.path("sessions"))))
}
