//! What came of what.

use crate::console::kinds::Look::Text;
use crate::console::kinds::{Action, From, Given, Kind, Only, Part, column};

/// What came of what: no list, but a picture.
pub(in crate::console) const LINEAGE: Kind = Kind {
    page: "lineage",
    title: "What came of what",
    about: "",
    none: None,
    list: None,
    show: "lineage.show",
    name: "of",
    heading: "of",
    columns: &[],
    facts: &[],
    parts: &[Part {
        title: "",
        empty: "",
        from: From::Member("nodes"),
        only: Only::Any,
        each: false,
        columns: &[column("", "name", Text)],
        which: "id",
        actions: &[
            below("person", "cut", &[("axis", Given::Text("principal")), ("id", Given::Which)]),
            below("device", "cut", &[("axis", Given::Text("device")), ("id", Given::Which)]),
            below("session", "session.end", &[("session", Given::Which)]),
            below("run", "run.end", &[("run", Given::Which)]),
            below("key", "cut", &[("axis", Given::Text("credential")), ("id", Given::Which)]),
            below("secret", "cut", &[("axis", Given::Text("credential")), ("id", Given::Which)]),
            below("pass", "cut", &[("axis", Given::Text("credential")), ("id", Given::Which)]),
        ],
    }],
    add: None,
    actions: &[],
};

/// Ends a node of this sort. Its name is the sort's.
const fn below(sort: &'static str, verb: &'static str, given: &'static [(&'static str, Given)]) -> Action {
    Action::new(sort, verb, "End")
        .told("It, and everything below it, stops working at once. This cannot be undone; people can log in again.")
        .done("Ended, with everything below it.")
        .given(given)
        .ends()
}
