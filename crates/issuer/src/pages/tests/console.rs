//! Examples of the console's pages.

use askama::Template;
use hallpass_model::time::Lifetime;
use zeroize::Zeroizing;

use super::super::console::*;
use super::super::*;
use super::{HOSTILE, ada, ahead, moment, org};
use crate::admin::forms::Revealed;

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

pub(super) fn console_examples() -> Vec<(&'static str, askama::Result<String>)> {
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
