//! Every page, with an example of what it shows, held to the rules all pages keep. The rendered examples are left in
//! `target/pages`, to be looked at.

use askama::Template;
use hallpass_model::time::{Lifetime, Timestamp};
use http::StatusCode;
use zeroize::Zeroizing;

use super::account::*;
use super::asking::*;
use super::console::*;
use super::entering::*;
use super::trouble::TroublePage;
use super::when::Moment;
use super::words::ScopeLine;
use super::*;
use crate::admin::forms::Revealed;

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

fn cell(label: &'static str, piece: Piece) -> Cell {
    Cell { label, pieces: vec![piece] }
}

fn link(text: &str) -> Piece {
    Piece::Link(format!("/acme/admin/clients?of={text}"), text.to_owned())
}

fn chrome(here: &str) -> Chrome {
    let tabs = ["People", "Teams", "Clients", "Resources", "Trusts", "API keys", "Organisation", "Ledger"]
        .map(|label| Go { href: format!("/acme/admin/{label}"), label: label.into(), here: label == here });
    Chrome { org: org(), csrf: "csrf".into(), tabs: tabs.into(), notice: None }
}

fn client_row(name: &str, kind: &str, owner: &str, state: &'static str) -> Vec<Cell> {
    let class = if state == "active" { "" } else { "stop" };
    vec![
        cell("Name", link(name)),
        cell("Short name", Piece::Code(name.to_lowercase().replace(' ', "-"))),
        cell("Kind", Piece::Text(kind.into())),
        cell("Answered for by", link(owner)),
        cell("State", Piece::Tag(class, state.into())),
    ]
}

fn field(name: &'static str, label: &'static str, help: &'static str, input: InputShown) -> FieldShown {
    FieldShown { name, label, help, required: name == "handle", input }
}

fn console_examples() -> Vec<(&'static str, askama::Result<String>)> {
    let frame = |title: &str| Frame::for_person(&org(), &ada(), Here::Console, title);
    let node = |x, y, state: &str, kicker: &str, name: &str, about: &str| Drawn {
        x,
        y,
        state: state.into(),
        asked: kicker.starts_with("session"),
        label: format!("{kicker}: {name}"),
        link: Some("/acme/admin/lineage?of=x".into()),
        kicker: kicker.into(),
        name: name.into(),
        about: about.into(),
    };
    let branch = |sort: &str, name: &str, about: &str, state: &str, below| Branch {
        sort: sort.into(),
        link: Some("/acme/admin/lineage?of=x".into()),
        name: name.into(),
        about: about.into(),
        claimed: sort == "run",
        state: state.into(),
        lives: state == "alive",
        ends: (sort != "person").then(|| ahead(Lifetime::minutes(50))),
        asked: sort == "session",
        end: (state == "alive").then(|| "/acme/admin/lineage?do=x".to_owned()),
        below,
    };
    let form = |name, title, what: &str, told, ends, fields, error| {
        FormPage {
            frame: frame(title),
            chrome: chrome("Clients"),
            action: "/acme/admin/clients".into(),
            name,
            of: Some("notes-api".into()),
            which: None,
            what: what.into(),
            title,
            told,
            ends,
            changes: true,
            fields,
            error,
            back: "/acme/admin/clients?of=notes-api".into(),
        }
        .render()
    };
    vec![
        (
            "console-front",
            FrontPage {
                frame: frame("Console"),
                chrome: chrome(""),
                roles: vec!["administrator", "owner"],
                ways: vec![
                    ("/acme/admin/people".into(), "People", "Who can log in to this organisation."),
                    ("/acme/admin/clients".into(), "Clients", "Software that asks for passes: tools, services, CI jobs, agents."),
                    ("/acme/admin/trusts".into(), "Trusts", "Rules by which a CI job, a pod or a service of elsewhere becomes a client here, without a secret."),
                    ("/acme/admin/ledger".into(), "Ledger", "What happened, newest first, with proofs."),
                ],
                draws: true,
                lineage: "/acme/admin/lineage".into(),
            }
            .render(),
        ),
        (
            "console-list",
            ListPage {
                frame: frame("Clients"),
                chrome: chrome("Clients"),
                title: "Clients",
                about: "Software that asks for passes: tools, services, CI jobs, agents.",
                labels: vec!["Name", "Short name", "Kind", "Answered for by", "State"],
                rows: vec![
                    client_row("Notes API", "service", "team platform", "active"),
                    client_row("Hallpass CLI", "cli", "team administrators", "active"),
                    client_row("Nightly reports", "ci", "person grace", "disabled 3 days ago"),
                    client_row(HOSTILE, "agent", HOSTILE, "active"),
                ],
                add: Some(("/acme/admin/clients?do=add".into(), "Add a client")),
                go: "/acme/admin/clients".into(),
                next: Some("/acme/admin/clients?after=x".into()),
                first: true,
            }
            .render(),
        ),
        (
            "console-one",
            OnePage {
                frame: frame("Notes API"),
                chrome: Chrome { notice: Some("The secret is taken back.".into()), ..chrome("Clients") },
                all: Some(("/acme/admin/clients".into(), "Clients")),
                title: "Notes API".into(),
                about: None,
                none: None,
                yourself: false,
                facts: vec![
                    cell("Short name", Piece::Code("notes-api".into())),
                    cell("State", Piece::Tag("", "active".into())),
                    cell("Answered for by", link("team platform")),
                    Cell {
                        label: "Scopes",
                        pieces: vec![Piece::Code("notes:read".into()), Piece::Code("notes:write".into())],
                    },
                    cell("Id", Piece::Code("cli_01h455vb4pex5vsknk084sn02q".into())),
                ],
                parts: vec![
                    PartShown {
                        title: "Secrets",
                        empty: "None.",
                        labels: vec!["Id", "State", "Ends", "Last used"],
                        each: false,
                        acts: true,
                        rows: vec![Row {
                            cells: vec![
                                cell("Id", Piece::Code("crd_01h455vb4pex5vsknk084sn02q".into())),
                                cell("State", Piece::Tag("", "good".into())),
                                cell("Ends", Piece::Time(ahead(Lifetime::days(20)))),
                                cell("Last used", Piece::Time(moment(Lifetime::minutes(3)))),
                            ],
                            actions: vec![("/acme/admin/clients?do=remove-secret".into(), "Take back")],
                        }],
                        more: 0,
                    },
                    PartShown {
                        title: "Who uses it, and what they should have in its place",
                        empty: "Nobody has used it.",
                        labels: vec![],
                        each: true,
                        acts: false,
                        rows: vec![Row {
                            cells: vec![
                                cell("Machine", Piece::Claimed(HOSTILE.into())),
                                Cell { label: "Network", pieces: vec![] },
                                cell("Since the key is left behind", Piece::Tag("warn", "3 times".into())),
                                cell("To set that up", Piece::Commands(vec!["hallpass admin client add nightly --kind ci --owner team:data --scope notes:read".into(), HOSTILE.into()])),
                            ],
                            actions: vec![],
                        }],
                        more: 2,
                    },
                    PartShown {
                        title: "Keys",
                        empty: "None that are kept here.",
                        labels: vec![],
                        each: false,
                        acts: false,
                        rows: vec![],
                        more: 0,
                    },
                ],
                actions: vec![
                    ("/acme/admin/clients?do=rotate".into(), "Make a new secret", "The one before it goes on for a while, so that you can put the new one in place.", false),
                    ("/acme/admin/clients?do=disable".into(), "Disable", "It gets no pass any more, and everything it has stops working at once.", true),
                ],
                ledger: Some("/acme/admin/ledger?client=notes-api".into()),
            }
            .render(),
        ),
        (
            "console-form",
            form(
                "add",
                "Add a client",
                "",
                "",
                false,
                vec![
                    field("handle", "Short name", "Small letters, digits and hyphens. It is never given out a second time.", InputShown::Line("notes-api".into())),
                    field("kind", "Kind", "It fixes in which ways it can get a pass.", InputShown::Choice(vec![("cli", "cli: a tool that people use", false), ("service", "service: a server that acts for itself", true)])),
                    field("scopes", "Scopes", "What it may ask for, one a line.", InputShown::Lines("notes:read\nnotes:write".into())),
                    field("secret", "Client secret there", "", InputShown::Secret),
                    field("uses", "How many programs register with it", "Empty for one.", InputShown::Number("5".into())),
                    field("rungs", "They may rest in", "Where none is ticked, they may rest anywhere.", InputShown::Several(vec![("tpm", "the machine’s TPM", true), ("daemon", "the daemon’s memory, until it ends", false)])),
                    field("fapi", "It is held to FAPI 2.0’s security profile", "", InputShown::Yes(true)),
                ],
                Some(("The client “notes-api” is there already, or was.".into(), vec![Said::Text("Choose another short name. ".into()), Said::Link("/acme/admin/clients".into(), "Clients"), Said::Text(" has them.".into())])),
            ),
        ),
        (
            "console-confirm",
            form(
                "disable",
                "Disable",
                "Notes API",
                "It gets no pass any more, and everything it has stops working at once.",
                true,
                vec![],
                None,
            ),
        ),
        (
            "console-made",
            MadePage {
                frame: frame("The new secret"),
                chrome: chrome("Clients"),
                title: "The new secret",
                what: "notes-api".into(),
                told: "Put it where the client reads it, and keep no other copy.",
                secret: Revealed::new(Zeroizing::new("hps_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX2".to_owned())),
                back: "/acme/admin/clients?of=notes-api".into(),
            }
            .render(),
        ),
        (
            "console-owned",
            OwnedPage {
                frame: frame("What you answer for"),
                chrome: chrome(""),
                labels: vec!["What", "Answered for by", "State"],
                rows: vec![vec![
                    cell("What", link("client notes-api")),
                    cell("Answered for by", link("team platform")),
                    cell("State", Piece::Tag("warn", "suspended 2 hours ago".into())),
                ]],
            }
            .render(),
        ),
        (
            "console-ledger",
            LedgerPage {
                frame: frame("Ledger"),
                chrome: chrome("Ledger"),
                go: "/acme/admin/ledger".into(),
                by: vec![("principal", "Person", "A short name or an id.", String::new())],
                events: vec![("issued", false), ("disabled", true)],
                filtered: true,
                entries: (0..3)
                    .map(|back| EntryLine {
                        seq: 412 - back,
                        at: Some(moment(Lifetime::minutes(4 + 9 * back as u32))),
                        event: "issued".into(),
                        who: "ada".into(),
                        what: "with hallpass-cli ses_01h455vb4pex5vsknk084sn02q".into(),
                        why: HOSTILE.into(),
                        links: vec![("/acme/admin/people?of=x".into(), "Person")],
                        proof: "/acme/admin/ledger?proof=412".into(),
                    })
                    .collect(),
                older: Some("/acme/admin/ledger?before=409".into()),
                newest: true,
            }
            .render(),
        ),
        (
            "console-proof",
            ProofPage {
                frame: frame("Proof"),
                chrome: chrome("Ledger"),
                seq: 412,
                size: 500,
                proof: "c2sp.org/tlog-proof@v1\nindex 412\nAAAA\n".into(),
                key: "id.acme.example+1234+AAAA".into(),
                back: "/acme/admin/ledger".into(),
            }
            .render(),
        ),
        (
            "console-lineage",
            LineagePage {
                frame: frame("What came of what"),
                chrome: chrome(""),
                name: "Ada Lovelace".into(),
                picture: Picture {
                    width: 852,
                    height: 154,
                    node_width: 184,
                    node_height: 66,
                    nodes: vec![
                        node(4, 44, "alive", "person · alive", "Ada Lovelace", "ada"),
                        node(224, 44, "alive", "device · alive", "ada-laptop", "laptop"),
                        node(444, 44, "alive", "session · alive", "Hallpass CLI", ""),
                        node(664, 4, "alive", "run · alive", "coder", HOSTILE),
                        node(664, 84, "cut", "run · cut", "tester", "Try the release"),
                    ],
                    lines: vec!["M188 77C206 77 206 77 224 77".into(), "M408 77C426 77 426 77 444 77".into(), "M628 77C646 77 646 37 664 37".into(), "M628 77C646 77 646 117 664 117".into()],
                },
                branches: vec![branch("person", "Ada Lovelace", "ada", "alive", vec![branch("device", "ada-laptop", "laptop", "alive", vec![branch("session", "Hallpass CLI", "", "alive", vec![branch("run", "coder", HOSTILE, "alive", vec![]), branch("run", "tester", "Try the release", "cut: ended by person", vec![])])])])],
                more: true,
                nodes: 5,
                root: "person".into(),
                passes: Some("/acme/admin/ledger?principal=ada".into()),
            }
            .render(),
        ),
        (
            "console-weighed",
            WeighedPage {
                frame: frame("Test a token"),
                chrome: chrome("Trusts"),
                title: "Test a token",
                what: "site".into(),
                nobody: None,
                trusts: vec![WeighedTrust {
                    lets_in: false,
                    wrong: Some("it is over".into()),
                    lines: vec![
                        WeighedLine {
                            claim: "project_id".into(),
                            wanted: "20".into(),
                            found: Some("20".into()),
                            holds: true,
                        },
                        WeighedLine {
                            claim: "ref".into(),
                            wanted: "main".into(),
                            found: Some(HOSTILE.into()),
                            holds: false,
                        },
                        WeighedLine {
                            claim: "environment".into(),
                            wanted: "prod".into(),
                            found: None,
                            holds: false,
                        },
                    ],
                }],
                again: "/acme/admin/trusts?do=test&of=site".into(),
                back: "/acme/admin/trusts?of=site".into(),
            }
            .render(),
        ),
    ]
}

fn examples() -> Vec<(&'static str, String)> {
    let (org, ada, csrf) = (org(), ada(), "csrf".to_owned());
    let page = |here, title| Frame::for_person(&org, &ada, here, title);
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
