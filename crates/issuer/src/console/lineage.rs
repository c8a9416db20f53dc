//! What came of what, as a picture: a tree from left to right, drawn here, and the same as nested lists with the buttons.
//!
//! Each node stands in the column of its depth. One without anything below it takes the next row; one with something stands
//! halfway between the first and the last of these.

use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use super::Visit;
use super::kinds::Kind;
use super::look::text;
use crate::pages::Here;
use crate::pages::answer::page;
use crate::pages::console::{Branch, Drawn, LineagePage, Picture};

/// The size of a node, and how far they stand apart, in units of the picture, which are CSS pixels.
const WIDTH: u32 = 184;
const HEIGHT: u32 = 66;
const APART: u32 = 36;
const BETWEEN: u32 = 14;
/// Room around it for the mark of the one that was asked about.
const EDGE: u32 = 4;
/// Letters that fit on a node's lines.
const NAME_FITS: usize = 17;
const ABOUT_FITS: usize = 24;

pub(super) fn show(visit: &Visit, kind: &'static Kind, answer: &Value, notice: Option<String>) -> Response {
    let nodes = answer["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = text(answer, "of").unwrap_or_default();
    let tree = Tree { visit, kind, of: &of, nodes };
    let name = nodes.first().and_then(|node| text(node, "name")).unwrap_or_default();
    let ledger = visit.seat.may("ledger.page", None).then(|| match nodes {
        [client, ..] if client["sort"] == "client" => ("client", text(client, "about")),
        [person, ..] => ("principal", text(person, "about")),
        [] => ("principal", None),
    });
    let ledger = ledger.and_then(|(by, name)| Some(visit.path("ledger", &[(by, &name?)])));
    let shown = LineagePage {
        frame: visit.person.frame(Here::Console, "What came of what"),
        chrome: visit.chrome("lineage", notice),
        name,
        picture: tree.picture(),
        branches: tree.branches(None),
        more: answer["more"] == true,
        nodes: nodes.len(),
        root: nodes.first().and_then(|node| text(node, "sort")).unwrap_or_default(),
        passes: ledger,
    };
    page(StatusCode::OK, &shown)
}

struct Tree<'a> {
    visit: &'a Visit,
    kind: &'static Kind,
    of: &'a str,
    nodes: &'a [Value],
}

impl<'a> Tree<'a> {
    /// Those that came of this one; those that came of none, for nothing.
    fn below(&self, above: Option<&str>) -> impl Iterator<Item = &'a Value> {
        self.nodes.iter().filter(move |node| node["above"].as_str() == above)
    }

    fn branches(&self, above: Option<&str>) -> Vec<Branch> {
        self.below(above)
            .map(|node| {
                let id = text(node, "id").unwrap_or_default();
                let sort = text(node, "sort").unwrap_or_default();
                let action = self.kind.parts[0].actions.iter().find(|action| action.name == sort);
                let lives = node["state"] == "alive" && !self.is_own(node);
                let action = action.filter(|action| lives && self.visit.seat.may(action.verb, None));
                let query = |action| [("do", action), ("of", self.of), ("which", &*id)];
                Branch {
                    link: self.link(node),
                    name: text(node, "name").unwrap_or_default(),
                    about: text(node, "about").unwrap_or_default(),
                    claimed: matches!(&*sort, "session" | "run"),
                    state: state(node),
                    lives: node["state"] == "alive",
                    ends: text(node, "ends").and_then(|ends| self.visit.looking().moment(&ends)),
                    asked: id == self.of,
                    end: action.map(|action| self.visit.path("lineage", &query(action.name))),
                    below: self.branches(Some(&id)),
                    sort,
                }
            })
            .collect()
    }

    /// Whoever looks would log themselves out: their own sessions they end on their own page.
    fn is_own(&self, node: &Value) -> bool {
        node["sort"] == "person" && node["about"].as_str().is_some_and(|handle| self.visit.seat.is(handle))
    }

    fn link(&self, node: &Value) -> Option<String> {
        let id = text(node, "id")?;
        match node["sort"].as_str()? {
            "person" => Some(self.visit.path("people", &[("of", &id)])),
            "client" => Some(self.visit.path("clients", &[("of", &id)])),
            "key" => Some(self.visit.path("keys", &[("of", &text(node, "name")?)])),
            "trust" => Some(self.visit.path("trusts", &[("of", &text(node, "name")?)])),
            "session" | "run" | "pass" => Some(self.visit.path("lineage", &[("of", &id)])),
            _ => None,
        }
    }

    fn picture(&self) -> Picture {
        let mut drawing = Drawing { nodes: Vec::new(), lines: Vec::new(), rows: 0, columns: 0 };
        for root in self.below(None) {
            self.draw(root, 0, &mut drawing);
        }
        Picture {
            width: drawing.columns * (WIDTH + APART) - APART.min(drawing.columns * APART) + 2 * EDGE,
            height: drawing.rows * (HEIGHT + BETWEEN) - BETWEEN.min(drawing.rows * BETWEEN) + 2 * EDGE,
            node_width: WIDTH,
            node_height: HEIGHT,
            nodes: drawing.nodes,
            lines: drawing.lines,
        }
    }

    /// Draws a node and what is below it; says how high the node stands.
    fn draw(&self, node: &Value, depth: u32, drawing: &mut Drawing) -> u32 {
        drawing.columns = drawing.columns.max(depth + 1);
        let id = text(node, "id");
        // Whoever goes through them by keyboard comes to what stands above first.
        let place = drawing.nodes.len();
        let below: Vec<u32> =
            self.below(id.as_deref()).map(|child| self.draw(child, depth + 1, drawing)).collect();
        let x = EDGE + depth * (WIDTH + APART);
        let y = match (below.first(), below.last()) {
            (Some(first), Some(last)) => (first + last) / 2,
            _ => {
                drawing.rows += 1;
                EDGE + (drawing.rows - 1) * (HEIGHT + BETWEEN)
            }
        };
        for child in below {
            let (from, to) = (x + WIDTH, x + WIDTH + APART);
            let (start, end, middle) = (y + HEIGHT / 2, child + HEIGHT / 2, from + APART / 2);
            drawing.lines.push(format!("M{from} {start}C{middle} {start} {middle} {end} {to} {end}"));
        }
        let said = |member| text(node, member).unwrap_or_default();
        let (sort, name, about) = (said("sort"), said("name"), said("about"));
        let drawn = Drawn {
            x,
            y,
            state: said("state"),
            asked: id.as_deref() == Some(self.of),
            label: format!("{sort} {name}, {}", state(node)),
            link: self.link(node),
            kicker: format!("{sort} · {}", said("state")),
            name: fitting(&name, NAME_FITS),
            about: fitting(&about, ABOUT_FITS),
        };
        drawing.nodes.insert(place, drawn);
        y
    }
}

struct Drawing {
    nodes: Vec<Drawn>,
    lines: Vec<String>,
    rows: u32,
    columns: u32,
}

/// How a node stands, in words.
fn state(node: &Value) -> String {
    let why = match node["why"].as_str() {
        None => return text(node, "state").unwrap_or_default(),
        Some("reuse") => "its token was used by somebody else",
        Some("code_replayed") => "its code was used twice",
        Some("retry_too_late") => "its token was sent again too late",
        Some("run_over") => "its command is over",
        Some("run_lost") => "its command went away",
        Some("restored") => "the server was restored from a backup",
        Some(why) => return format!("cut: {}", why.replace('_', " ")),
    };
    format!("cut: {why}")
}

/// The beginning of a text, as far as it fits.
fn fitting(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(letters - 1).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}
