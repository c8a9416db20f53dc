//! What JSON a type is, as a schema (JSON Schema 2020-12, which OpenAPI 3.1 is made of), told by the types themselves: what is written
//! down for others is what is read and written.

use std::collections::BTreeMap;

use hallpass_model::cut::Axis;
use hallpass_model::principal::{OrgLimits, Requirements};
use hallpass_model::role::TeamRole;
use hallpass_model::rung::Rung;
use hallpass_model::time::Lifetime;
use hallpass_model::trust::{Finding, Line};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

/// The schemas of what has a name, by that name.
pub(crate) type Schemas = BTreeMap<&'static str, Value>;

/// What JSON a type is.
pub(crate) trait Shape {
    /// Whether what is of this type may be left out.
    const OPTIONAL: bool = false;

    /// Its schema, or where that stands among the named ones, which it is put among.
    fn shape(schemas: &mut Schemas) -> Value;
}

/// Tells the shape of a struct by its members, and what is written beside them.
macro_rules! object {
    ($name:ident { $(#[$doc:meta])* } $kind:ident $($field:ident: $type:ty { $(#[$about:meta])* })*) => {
        impl crate::admin::shape::Shape for $name {
            #[allow(unused_imports, unused_variables, reason = "there is a question without a member")]
            fn shape(schemas: &mut crate::admin::shape::Schemas) -> serde_json::Value {
                use crate::admin::shape::{Kind, Member, Shape, named};
                named(schemas, stringify!($name), Kind::$kind, &[$(stringify!($doc)),*], |schemas| {
                    vec![$(Member {
                        name: stringify!($field),
                        written: &[$(stringify!($about)),*],
                        optional: <$type as Shape>::OPTIONAL,
                        shape: <$type as Shape>::shape(schemas),
                    }),*]
                })
            }
        }
    };
}
pub(crate) use object;

/// Of what sort an object is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "words of the macro above")]
pub(crate) enum Kind {
    /// A question: it has these members and no others.
    closed,
    /// An answer: it may have others one day.
    open,
}

/// A member of an object.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    /// The attributes that stand beside it, as they are written.
    pub(crate) written: &'static [&'static str],
    pub(crate) optional: bool,
    pub(crate) shape: Value,
}

/// Puts an object among the named ones, and says where it stands.
pub(crate) fn named(
    schemas: &mut Schemas,
    name: &'static str,
    kind: Kind,
    written: &[&'static str],
    members: impl FnOnce(&mut Schemas) -> Vec<Member>,
) -> Value {
    if !schemas.contains_key(name) {
        // What it is made of may be made of it.
        schemas.insert(name, Value::Null);
        let members = members(schemas);
        let mut schema = Map::new();
        schema.insert("type".into(), "object".into());
        if let Some(told) = told(written) {
            schema.insert("description".into(), told.into());
        }
        let required: Vec<&str> = members
            .iter()
            .filter(|member| !member.written.iter().any(|about| about.starts_with("serde(default")))
            .filter(|member| kind == Kind::open || !member.optional)
            .map(|member| member.name)
            .collect();
        let properties = members.into_iter().map(|mut member| {
            if kind == Kind::closed {
                narrow(name, &mut member);
            }
            (member.name.to_owned(), describe(member))
        });
        schema.insert("properties".into(), Value::Object(properties.collect()));
        if !required.is_empty() {
            schema.insert("required".into(), json!(required));
        }
        if kind == Kind::closed {
            schema.insert("additionalProperties".into(), false.into());
        }
        schemas.insert(name, Value::Object(schema));
    }
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// What a text may be, where its type does not say it.
fn narrow(object: &str, member: &mut Member) {
    let Value::Object(schema) = &mut member.shape else { return };
    let words = match (object, member.name) {
        (_, "handle") => {
            schema.insert("pattern".into(), "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$".into());
            return;
        }
        (_, "owner" | "to" | "from") => {
            schema.insert("pattern".into(), "^(person|team):[a-z]([a-z0-9-]{0,61}[a-z0-9])?$".into());
            return;
        }
        ("CutMake", "axis") => Axis::ALL.map(Axis::text).to_vec(),
        ("ClientAdd", "kind") => vec!["cli", "service", "ci", "agent"],
        ("TeamRoleSet", "role") => TeamRole::ALL.map(TeamRole::text).to_vec(),
        ("OrgRotateKey", "algorithm") => vec!["ES256", "EdDSA"],
        _ => return,
    };
    let mut words: Vec<Value> = words.into_iter().map(Value::from).collect();
    if member.optional {
        words.push(Value::Null);
    }
    schema.insert("enum".into(), words.into());
}

fn describe(member: Member) -> Value {
    let mut shape = member.shape;
    if let (Some(told), Value::Object(schema)) = (told(member.written), &mut shape) {
        schema.insert("description".into(), told.into());
    }
    shape
}

/// What doc comments say, of attributes as they are written.
fn told(written: &[&str]) -> Option<String> {
    let lines = written.iter().filter_map(|about| {
        let text = about.strip_prefix("doc = ")?.trim_start_matches('r').trim_matches('#');
        Some(text.trim_matches('"').trim().replace("\\\"", "\""))
    });
    let told = lines.collect::<Vec<_>>().join(" ");
    (!told.is_empty()).then_some(told)
}

/// Text of a certain format, with what is to be said of it.
pub(crate) fn text(format: &str, told: &str) -> Value {
    json!({ "type": "string", "format": format, "description": told })
}

macro_rules! shapes {
    ($($type:ty: $shape:expr;)*) => {$(
        impl Shape for $type {
            fn shape(_: &mut Schemas) -> Value {
                $shape
            }
        }
    )*};
}

shapes! {
    String: json!({ "type": "string" });
    Zeroizing<String>: json!({ "type": "string", "format": "password", "writeOnly": true });
    bool: json!({ "type": "boolean" });
    u32: json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    u64: json!({ "type": "integer", "minimum": 0 });
    usize: json!({ "type": "integer", "minimum": 0 });
    Value: json!({});
    Lifetime: json!({
        "type": ["integer", "string"],
        "minimum": 0,
        "maximum": i64::MAX,
        "pattern": "^[1-9][0-9]{0,8}[smhd]$",
        "description": "A length of time: milliseconds, or text such as `15m`, `8h`, `30d`.",
        "examples": ["15m", "30d"],
    });
    Rung: json!({ "type": "string", "enum": Rung::ALL.map(|rung| serde_json::to_value(rung).unwrap_or_default()) });
    OrgLimits: json!({ "type": "object", "description": "What the org has shortened." });
    Requirements: json!({ "type": "object", "description": "What the org requires of everything in it." });
    Finding: strings(&["rule", "gravity", "told", "hint"], "Something that is wrong with a rule.");
    Line: json!({
        "type": "object",
        "description": "What a rule says of one claim, and what the claim is.",
        "properties": {
            "claim": { "type": "string" }, "wanted": { "type": "string" },
            "found": { "type": ["string", "null"] }, "holds": { "type": "boolean" },
        },
        "required": ["claim", "wanted", "found", "holds"],
    });
}

fn strings(names: &[&str], told: &str) -> Value {
    let properties = names.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" })));
    let properties = Value::Object(properties.collect());
    json!({ "type": "object", "description": told, "properties": properties, "required": names })
}

impl<T: Shape> Shape for Option<T> {
    const OPTIONAL: bool = true;

    fn shape(schemas: &mut Schemas) -> Value {
        let mut shape = T::shape(schemas);
        // `"type": "x"` becomes `["x", "null"]`; what is named, or anything, is one of two.
        let anything = shape == json!({});
        match shape.get_mut("type") {
            Some(Value::Array(kinds)) => kinds.push("null".into()),
            Some(kind) => *kind = json!([kind.take(), "null"]),
            None if anything => {}
            None => shape = json!({ "anyOf": [shape, { "type": "null" }] }),
        }
        shape
    }
}

impl<T: Shape> Shape for Vec<T> {
    fn shape(schemas: &mut Schemas) -> Value {
        json!({ "type": "array", "items": T::shape(schemas) })
    }
}
