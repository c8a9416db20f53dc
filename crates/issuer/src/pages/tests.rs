//! Every page, with an example of what it shows, held to the rules all pages keep. The rendered examples are left in
//! `target/pages`, to be looked at.

use askama::Template;
use hallpass_model::time::{Lifetime, Timestamp};
use http::StatusCode;

use super::account::*;
use super::asking::*;
use super::entering::*;
use super::trouble::TroublePage;
use super::when::Moment;
use super::words::ScopeLine;
use super::*;

mod console; // those for who administers

use self::console::console_examples;

/// Text a stranger may choose.
const HOSTILE: &str = "\"><script>alert(1)</script><b onmouseover=x>";

fn org() -> OrgHead {
    OrgHead { name: "acme".into(), title: "Acme Engineering".into() }
}

fn ada() -> PersonHead {
    PersonHead { name: "Ada Lovelace".into(), console: true, csrf: "csrf".into() }
}

fn moment(back: Lifetime) -> Moment {
    let now = Timestamp::from_seconds(1_795_339_800);
    Moment::new(now - back, now)
}

fn ahead(by: Lifetime) -> Moment {
    let now = Timestamp::from_seconds(1_795_339_800);
    Moment::new(now + by, now)
}

fn asked(machine: &str, purpose: &str) -> Asked {
    Asked {
        client: "Hallpass CLI".into(),
        vouched_by: None,
        person: "Ada Lovelace".into(),
        scopes: ["notes:read", "notes:write", "offline_access"].into_iter().map(ScopeLine::new).collect(),
        resources: vec![ResourceLine {
            name: "Notes".into(),
            url: "https://notes.acme.example/".into(),
            environment: "prod".into(),
        }],
        lifetime: "90 days at most, 30 if it is not used".into(),
        machine: (!machine.is_empty()).then(|| machine.into()),
        purpose: (!purpose.is_empty()).then(|| purpose.into()),
    }
}

fn session(client: &str, device: &str, purpose: &str, local: bool) -> SessionLine {
    SessionLine {
        id: "ses_01h455vb4pex5vsknk084sn02q".into(),
        client: client.into(),
        device: Some(device.into()),
        machine: Some("one person’s; the key rests in the Secret Service, as it says".into()),
        purpose: (!purpose.is_empty()).then(|| purpose.into()),
        local,
        approval: if local { "by the server's operator, on the server" } else { "by you, with a code" },
        reach: Some("Notes".into()),
        began: moment(Lifetime::days(3)),
        used: moment(Lifetime::minutes(4)),
        ends: ahead(Lifetime::days(87)),
    }
}

fn passkey(name: &str, used: bool) -> PasskeyLine {
    PasskeyLine {
        id: "pky_01h455vb4pex5vsknk084sn02q".into(),
        name: name.into(),
        added: moment(Lifetime::days(40)),
        used: used.then(|| moment(Lifetime::minutes(12))),
    }
}

fn examples() -> Vec<(&'static str, String)> {
    let (org, ada, csrf) = (org(), ada(), "csrf".to_owned());
    let page = |here, title| Frame::for_person(&org, &ada, here, title);
    let report = |state| {
        let csrf = csrf.clone();
        ReportPage {
            frame: Frame::of(&org, "Report a credential"),
            org: org.clone(),
            csrf,
            found_len_max: 200,
            state,
        }
        .render()
    };
    let answer = |answer| {
        DeviceAnswerPage {
            frame: page(Here::Asking, "Answered"),
            org: org.clone(),
            csrf: csrf.clone(),
            answer,
            client: "Hallpass CLI".into(),
            request: "gnt_01h455vb4pex5vsknk084sn02q".into(),
        }
        .render()
    };
    let approval = |machine, purpose, differs: bool| {
        DeviceApprovalPage {
            raises: None,
            frame: page(Here::Asking, "Approve a program"),
            org: org.clone(),
            csrf: csrf.clone(),
            asked: asked(machine, purpose),
            code: "WDJB-MJHT".into(),
            asked_from: "203.0.113.7".into(),
            asked_here: !differs,
            asked_when: "2 minutes ago".into(),
            browser_at: "198.51.100.24".into(),
            differs,
        }
        .render()
    };
    let rendered = vec![
        (
            "setup",
            SetUpPage {
                frame: Frame::bare("Set up"),
                csrf: csrf.clone(),
                base: "https://id.acme.example".into(),
            }
            .render(),
        ),
        (
            "enrol",
            EnrolPage {
                frame: Frame::of(&org, "Join"),
                org: org.clone(),
                csrf: csrf.clone(),
                provider: Some("Acme <Login>".into()),
                provider_alone: false,
            }
            .render(),
        ),
        (
            "login",
            LoginPage {
                frame: Frame::of(&org, "Log in"),
                org: org.clone(),
                csrf: csrf.clone(),
                reason: "Then you are asked whether a program may act for you.",
                notice: None,
                target: vec![("request", "abc".into())],
                provider: Some("Acme <Login>".into()),
                provider_alone: false,
                again: true,
            }
            .render(),
        ),
        ("report", report(Reporting::Asked { trouble: None, found: String::new() })),
        (
            "report-wrong",
            report(Reporting::Asked { trouble: Some("This is no credential."), found: HOSTILE.into() }),
        ),
        ("reported", report(Reporting::Done)),
        (
            "login-again",
            LoginPage {
                frame: Frame::of(&org, "Log in"),
                org: org.clone(),
                csrf: csrf.clone(),
                reason: "To your sessions and passkeys.",
                notice: Some("That passkey is not one of this organisation's. Choose another."),
                target: vec![("to", "passkeys".into())],
                provider: None,
                provider_alone: false,
                again: false,
            }
            .render(),
        ),
        (
            "consent",
            ConsentPage {
                raises: None,
                frame: page(Here::Asking, "Allow a program"),
                org: org.clone(),
                csrf: csrf.clone(),
                asked: asked("ada-laptop", "Look through last week's notes"),
                handle: "abc".into(),
                returns_to: ReturnsTo::ThisComputer("http://127.0.0.1:53211".into()),
            }
            .render(),
        ),
        (
            "device-entry",
            DeviceEntryPage {
                frame: page(Here::Device, "Enter a code"),
                org: org.clone(),
                csrf: csrf.clone(),
                code: String::new(),
                trouble: None,
            }
            .render(),
        ),
        (
            "device-entry-wrong",
            DeviceEntryPage {
                frame: page(Here::Device, "Enter a code"),
                org: org.clone(),
                csrf: csrf.clone(),
                code: "WDJB-MJHX".into(),
                trouble: Some(
                    "No program is waiting with this code. It may be mistyped, used or over 10 minutes old."
                        .into(),
                ),
            }
            .render(),
        ),
        (
            "device-approval",
            approval("build-7.eu-west.acme.example", "Deploy release 4.2 to production", true),
        ),
        ("device-approval-silent", approval("", "", false)),
        ("device-approval-hostile", approval(HOSTILE, HOSTILE, true)),
        ("device-approved", answer(Answered::Approved)),
        ("device-denied", answer(Answered::Denied)),
        ("device-ended", answer(Answered::Ended)),
        (
            "sessions",
            SessionsPage {
                frame: page(Here::Sessions, "Your sessions"),
                org: org.clone(),
                csrf: csrf.clone(),
                sessions: vec![
                    session("Hallpass CLI", "ada-laptop", "", false),
                    session(
                        "Hallpass CLI",
                        "build-7.eu-west.acme.example",
                        "Deploy release 4.2 to production",
                        false,
                    ),
                    session("Hallpass CLI", "quickstart", "A first look", true),
                ],
                newest: true,
                next: Some("ses_01h455vb4pex5vsknk084sn02q".into()),
                copied: Vec::new(),
                stolen: vec![StolenLine {
                    client: "Hallpass CLI".into(),
                    device: Some("ada-old-laptop".into()),
                    ended: moment(Lifetime::hours(5)),
                }],
                browser: moment(Lifetime::minutes(12)),
                notice: Some("Ended. It stopped working the moment you pressed the button."),
            }
            .render(),
        ),
        (
            "notices",
            NoticesPage {
                frame: page(Here::Notices, "Notices"),
                org: org.clone(),
                csrf: csrf.clone(),
                lines: vec![
                    NoticeLine {
                        new: true,
                        at: moment(Lifetime::minutes(3)),
                        event: "Ended, as something was used twice that is used once",
                        what: "session of ada with hallpass-cli ses_01h455vb4pex5vsknk084sn02q".into(),
                        who: "hallpass".into(),
                        why: "reuse".into(),
                        seq: 4711,
                    },
                    NoticeLine {
                        new: false,
                        at: moment(Lifetime::days(3)),
                        event: "Ended by somebody who may",
                        what: HOSTILE.into(),
                        who: "rosa".into(),
                        why: String::new(),
                        seq: 4242,
                    },
                ],
                newest: Some(4711),
            }
            .render(),
        ),
        (
            "sessions-none",
            SessionsPage {
                frame: page(Here::Sessions, "Your sessions"),
                org: org.clone(),
                csrf: csrf.clone(),
                sessions: vec![],
                newest: true,
                next: None,
                copied: Vec::new(),
                stolen: vec![],
                browser: moment(Lifetime::minutes(12)),
                notice: None,
            }
            .render(),
        ),
        (
            "passkeys",
            PasskeysPage {
                frame: page(Here::Passkeys, "Your passkeys"),
                org: org.clone(),
                csrf: csrf.clone(),
                passkeys: vec![passkey("Ada's laptop", true), passkey("Security key in the drawer", false)],
                notice: None,
            }
            .render(),
        ),
        (
            "passkeys-one",
            PasskeysPage {
                frame: page(Here::Passkeys, "Your passkeys"),
                org: org.clone(),
                csrf: csrf.clone(),
                passkeys: vec![passkey("Ada's laptop", true)],
                notice: Some("Removed."),
            }
            .render(),
        ),
        (
            "trouble",
            TroublePage {
                frame: Frame::of(&org, "This request is over"),
                status: StatusCode::GONE,
                what: "It waited longer than ten minutes, or it was answered already.".into(),
                next: "Go back to your terminal and start again: run the same command once more.".into(),
                link: Some(("/acme/sessions".into(), "Your sessions")),
            }
            .render(),
        ),
    ];
    let rendered = rendered.into_iter().chain(console_examples());
    rendered.map(|(name, html)| (name, html.expect("a page of text renders"))).collect()
}

#[test]
fn every_page_keeps_the_rules_of_all_pages() {
    for (name, html) in examples() {
        for want in [
            "<!doctype html>\n<html lang=\"en\">",
            "<main id=\"main\"",
            "<header",
            "name=\"viewport\"",
            "class=\"skip\"",
        ] {
            assert!(html.contains(want), "{name} lacks {want}");
        }
        assert_eq!(html.matches("<h1").count(), 1, "{name}: one heading says what it is");
        // SECURITY: nothing inline, nothing from elsewhere: the content security policy would refuse it.
        for never in [
            " style=",
            "<style",
            "javascript:",
            "onclick",
            "src=\"http",
            "href=\"http",
            "<iframe",
            "<script>",
        ] {
            assert!(!html.contains(never), "{name} holds {never}");
        }
    }
}

#[test]
fn every_form_posts_to_this_server_and_carries_the_token() {
    for (name, html) in examples() {
        for form in html.split("<form").skip(1) {
            let form = form.split("</form>").next().expect("split gives one");
            // What only looks is asked for by its address, where a token must never stand.
            if form.contains("method=\"get\" action=\"/") {
                assert!(!form.contains("csrf"), "{name}: {form}");
                continue;
            }
            assert!(form.contains("method=\"post\" action=\"/"), "{name}: {form}");
            assert!(form.contains("name=\"csrf\" value=\"csrf\""), "{name}: {form}");
        }
    }
}

#[test]
fn every_field_has_its_label() {
    for (name, html) in examples() {
        for tag in ["<input ", "<textarea ", "<select "] {
            for field in html.split(tag).skip(1) {
                let field = field.split('>').next().expect("split gives one");
                if field.contains("type=\"hidden\"") {
                    continue;
                }
                let id = field.split(" id=\"").nth(1).or(field.strip_prefix("id=\""));
                let id =
                    id.and_then(|rest| rest.split('"').next()).unwrap_or_else(|| panic!("{name}: {field}"));
                assert_eq!(html.matches(&format!("<label for=\"{id}\"")).count(), 1, "{name}: {id}");
            }
        }
    }
}

#[test]
fn no_id_stands_twice_on_a_page() {
    for (name, html) in examples() {
        for id in html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{name}: {id}");
        }
    }
}

#[test]
fn what_a_stranger_writes_stays_text() {
    let mut shown = 0;
    for (name, html) in examples() {
        assert!(!html.contains("<script>alert") && !html.contains("<b onmouseover"), "{name}");
        shown += usize::from(html.contains("&#60;script&#62;alert(1)"));
    }
    assert!(shown >= 4, "it is shown, escaped");
}

#[test]
fn denying_stands_first_and_is_a_button_like_the_other() {
    for (name, html) in
        examples().into_iter().filter(|(name, _)| name.starts_with("device-approval") || *name == "consent")
    {
        let no = html.find("name=\"answer\" value=\"no\"").expect("a way to say no");
        let yes = html.find("name=\"answer\" value=\"yes\"").expect("a way to say yes");
        // A browser that submits a form by Enter presses its first button.
        assert!(no < yes, "{name}");
        assert_eq!(html.matches("name=\"answer\"").count(), 2, "{name}");
    }
}

#[test]
fn examples_are_left_to_be_looked_at() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/pages"));
    std::fs::create_dir_all(folder.join("assets")).expect("target can be written");
    for (name, html) in examples() {
        let html = html.replace("\"/assets/", "\"assets/");
        std::fs::write(folder.join(format!("{name}.html")), html).expect("target can be written");
    }
    for (path, bytes) in [
        (crate::assets::css(), &include_bytes!("../../assets/hallpass.css")[..]),
        (crate::assets::mark(), &include_bytes!("../../assets/mark.svg")[..]),
    ] {
        std::fs::write(folder.join(path.trim_start_matches('/')), bytes).expect("target can be written");
    }
}
