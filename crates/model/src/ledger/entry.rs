//! One entry, and the bytes that are its leaf.
//!
//! The bytes are JSON in one form only (RFC 8785: members sorted, no white space, the fewest escapes), flat, without
//! floats or nulls; absent members are left out. They are written once, hashed, and kept as written: whoever verifies
//! hashes what is stored and never writes an entry anew. The format is versioned by `v` and never changes under it.

use std::fmt;

use serde::Deserialize;

use super::detail::{Detail, Value};
use super::event::{Event, UnknownEvent};
use super::merkle::{Hash, MAX_SIZE};
use super::personal::Commitment;
use crate::id::{ClientId, CredentialId, DeviceId, LeaseId, OrgId, PrincipalId, ResourceId, SessionId};
use crate::time::Timestamp;

/// Who caused an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A person, workload or agent.
    Principal(PrincipalId),
    /// A client that authenticated as itself.
    Client(ClientId),
    /// Whoever is at the admin socket.
    Operator,
    /// Hallpass itself: a rule, a timer, a restore.
    System,
    /// Nobody who proved who they are.
    Nobody,
}

/// What happened, to what, by whom: ids and fixed words only, never a secret, nothing personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which entry: its leaf's index, from 0, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// By whom.
    pub actor: Actor,
    /// In which org; none for what concerns the whole server.
    pub org: Option<OrgId>,
    /// Whom it is about.
    pub principal: Option<PrincipalId>,
    /// Through which client, or about it.
    pub client: Option<ClientId>,
    /// On which device.
    pub device: Option<DeviceId>,
    /// In which session.
    pub session: Option<SessionId>,
    /// Which credential.
    pub credential: Option<CredentialId>,
    /// For which resource.
    pub resource: Option<ResourceId>,
    /// Under which lease.
    pub lease: Option<LeaseId>,
    /// What else.
    pub detail: Detail,
    /// What the personal fields beside it were, if it has any.
    pub personal: Option<Commitment>,
}

impl Entry {
    /// An entry about nothing in particular yet. `seq` is the ledger's to set, when it is appended.
    pub fn new(event: Event, at: Timestamp, actor: Actor) -> Self {
        Self {
            seq: 0,
            at,
            event,
            actor,
            org: None,
            principal: None,
            client: None,
            device: None,
            session: None,
            credential: None,
            resource: None,
            lease: None,
            detail: Detail::new(),
            personal: None,
        }
    }

    /// Appends the canonical bytes to `out`, which the caller may keep and reuse.
    pub fn write(&self, out: &mut String) {
        // RFC 8785 sorts members; these are in order.
        out.push_str("{\"actor\":\"");
        self.actor.write(out);
        out.push_str("\",\"at\":");
        write_integer(out, self.at.millis());
        write_id(out, "client", self.client.as_ref());
        write_id(out, "credential", self.credential.as_ref());
        if !self.detail.is_empty() {
            out.push_str(",\"detail\":{");
            for (i, (key, value)) in self.detail.iter().enumerate() {
                out.push_str(if i == 0 { "\"" } else { ",\"" });
                out.push_str(key.text());
                out.push_str("\":");
                match value {
                    Value::Text(text) => write_text(out, text),
                    Value::Int(n) => write_integer(out, *n),
                    Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
                }
            }
            out.push('}');
        }
        write_id(out, "device", self.device.as_ref());
        out.push_str(",\"event\":\"");
        out.push_str(self.event.text());
        out.push('"');
        write_id(out, "lease", self.lease.as_ref());
        write_id(out, "org", self.org.as_ref());
        write_id(out, "personal", self.personal.as_ref());
        write_id(out, "principal", self.principal.as_ref());
        write_id(out, "resource", self.resource.as_ref());
        out.push_str(",\"seq\":");
        write_integer(out, self.seq);
        write_id(out, "session", self.session.as_ref());
        out.push_str(",\"v\":1}");
    }

    /// The canonical bytes.
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(512);
        self.write(&mut out);
        out
    }

    /// The hash of the leaf.
    pub fn leaf_hash(&self) -> Hash {
        Hash::of_leaf(self.to_text().as_bytes())
    }

    /// Reads a leaf: exactly what `write` writes, and nothing else.
    pub fn parse(leaf: &[u8]) -> Result<Self, BadEntry> {
        if leaf.len() > LEAF_MAX {
            return Err(BadEntry::Malformed);
        }
        let text = std::str::from_utf8(leaf).map_err(|_| BadEntry::Malformed)?;
        let wire: Wire = match serde_json::from_str(text) {
            Ok(wire) => wire,
            Err(_) => return Err(newer(text).unwrap_or(BadEntry::Malformed)),
        };
        let entry = Entry::try_from(wire)?;
        if entry.to_text() == text { Ok(entry) } else { Err(BadEntry::NotCanonical) }
    }
}

/// Why bytes are not a leaf of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// Not an entry in any version.
    #[error("it is not an entry")]
    Malformed,
    /// An entry, but not written in the one way entries are.
    #[error("it is not written as entries are")]
    NotCanonical,
    /// Written by a newer version, in a format this one does not know.
    #[error("it is of version {0}, which this program does not know")]
    Version(u64),
    /// Written by a newer version, about something this one does not know.
    #[error(transparent)]
    Event(#[from] UnknownEvent),
}

impl BadEntry {
    /// Whether a newer Hallpass may well have written it.
    pub fn is_newer(&self) -> bool {
        matches!(self, BadEntry::Version(_) | BadEntry::Event(_))
    }
}

/// Whether a text that is no entry says that it is one of a later version.
fn newer(text: &str) -> Option<BadEntry> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }
    let Versioned { v } = serde_json::from_str(text).ok()?;
    (v > VERSION).then_some(BadEntry::Version(v))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    actor: std::borrow::Cow<'a, str>,
    at: i64,
    client: Option<ClientId>,
    credential: Option<CredentialId>,
    #[serde(default)]
    detail: Detail,
    device: Option<DeviceId>,
    #[serde(borrow)]
    event: std::borrow::Cow<'a, str>,
    lease: Option<LeaseId>,
    org: Option<OrgId>,
    personal: Option<Commitment>,
    principal: Option<PrincipalId>,
    resource: Option<ResourceId>,
    seq: u64,
    session: Option<SessionId>,
    v: u64,
}

impl TryFrom<Wire<'_>> for Entry {
    type Error = BadEntry;
    fn try_from(wire: Wire<'_>) -> Result<Self, BadEntry> {
        if wire.v != VERSION {
            return Err(if wire.v > VERSION { BadEntry::Version(wire.v) } else { BadEntry::Malformed });
        }
        if wire.seq >= MAX_SIZE {
            return Err(BadEntry::Malformed);
        }
        Ok(Self {
            seq: wire.seq,
            at: Timestamp::from_millis(wire.at),
            event: wire.event.parse()?,
            actor: Actor::parse(&wire.actor).ok_or(BadEntry::Malformed)?,
            org: wire.org,
            principal: wire.principal,
            client: wire.client,
            device: wire.device,
            session: wire.session,
            credential: wire.credential,
            resource: wire.resource,
            lease: wire.lease,
            detail: wire.detail,
            personal: wire.personal,
        })
    }
}

impl Actor {
    fn write(&self, out: &mut String) {
        use fmt::Write;
        write!(out, "{self}").expect("writing to a string cannot fail");
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "operator" => Some(Actor::Operator),
            "system" => Some(Actor::System),
            "nobody" => Some(Actor::Nobody),
            id if id.starts_with(ClientId::PREFIX) => id.parse().ok().map(Actor::Client),
            id => id.parse().ok().map(Actor::Principal),
        }
    }
}

/// As the leaf has it: an id, or `operator`, `system`, `nobody`.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Principal(id) => fmt::Display::fmt(id, f),
            Actor::Client(id) => fmt::Display::fmt(id, f),
            Actor::Operator => f.write_str("operator"),
            Actor::System => f.write_str("system"),
            Actor::Nobody => f.write_str("nobody"),
        }
    }
}

fn write_id(out: &mut String, member: &str, id: Option<&impl fmt::Display>) {
    use fmt::Write;
    if let Some(id) = id {
        write!(out, ",\"{member}\":\"{id}\"").expect("writing to a string cannot fail");
    }
}

fn write_integer(out: &mut String, n: impl fmt::Display) {
    use fmt::Write;
    write!(out, "{n}").expect("writing to a string cannot fail");
}

/// A JSON string as RFC 8785, section 3.2.2.2, has it.
pub(super) fn write_text(out: &mut String, text: &str) {
    use fmt::Write;
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            b'\t' => "\\t",
            b'\n' => "\\n",
            0x0c => "\\f",
            b'\r' => "\\r",
            0x00..=0x1f => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match short {
            "" => write!(out, "\\u{byte:04x}").expect("writing to a string cannot fail"),
            short => out.push_str(short),
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// The version this program writes.
const VERSION: u64 = 1;

/// No leaf of ours comes near it; anything longer is not read.
const LEAF_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::detail::Key;
    use crate::random::Seeded;

    const AT: Timestamp = Timestamp::from_millis(1_790_000_000_123);

    /// Every member set.
    fn full() -> Entry {
        Entry {
            seq: 7,
            org: Some(OrgId::from_bytes([1; 16])),
            principal: Some(PrincipalId::from_bytes([2; 16])),
            client: Some(ClientId::from_bytes([3; 16])),
            device: Some(DeviceId::from_bytes([4; 16])),
            session: Some(SessionId::from_bytes([5; 16])),
            credential: Some(CredentialId::from_bytes([6; 16])),
            resource: Some(ResourceId::from_bytes([7; 16])),
            lease: Some(LeaseId::from_bytes([8; 16])),
            detail: Detail::new().with(Key::GENERATION, 3u32).with(Key::REASON, "said \"no\"\u{1}\n/é"),
            personal: Some(Commitment([0xfb; 32])),
            ..Entry::new(Event::Refreshed, AT, Actor::Principal(PrincipalId::from_bytes([9; 16])))
        }
    }

    #[test]
    fn the_leaf_format_is_this_and_stays_this() {
        // SECURITY: if this test fails the format was changed, and every leaf ever written with it. Mend the code.
        let entry = Entry {
            seq: 41,
            session: Some(SessionId::from_bytes([5; 16])),
            detail: Detail::new()
                .with(Key::SCOPE, "notes:read")
                .with(Key::GENERATION, 3u32)
                .with(Key::UID, -1i64),
            ..Entry::new(Event::PolicyChanged, AT, Actor::Operator)
        };
        assert_eq!(
            entry.to_text(),
            concat!(
                r#"{"actor":"operator","at":1790000000123,"detail":{"generation":3,"scope":"notes:read","uid":-1},"#,
                r#""event":"policy_changed","seq":41,"session":"ses_050m2ga1850m2ga1850m2ga185","v":1}"#
            )
        );
        assert_eq!(
            full().to_text(),
            concat!(
                r#"{"actor":"prn_09144gj289144gj289144gj289","at":1790000000123,"client":"cli_030c1g60r30c1g60r30c1g60r3","credential":"crd_060r30c1g60r30c1g60r30c1g6","#,
                r#""detail":{"generation":3,"reason":"said \"no\"\u0001\n/é"},"device":"dev_040g2081040g2081040g208104","event":"refreshed","#,
                r#""lease":"lse_081040g2081040g2081040g208","org":"org_01040g2081040g2081040g2081","personal":"-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s","#,
                r#""principal":"prn_02081040g2081040g2081040g2","resource":"res_070w3ge1r70w3ge1r70w3ge1r7","seq":7,"session":"ses_050m2ga1850m2ga1850m2ga185","v":1}"#
            )
        );
    }

    #[test]
    fn a_leaf_is_the_canonical_json_of_what_it_says() {
        // serde_json's maps are sorted by key, and it escapes as RFC 8785 does.
        let text = full().to_text();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
    }

    #[test]
    fn the_spellings_of_events_stay_as_they_are() {
        let spelled: Vec<_> = Event::ALL.iter().map(|event| event.text()).collect();
        assert_eq!(
            spelled.join(" "),
            "issued refreshed retried reused exchanged denied cut expired approved leaked copied suspended disabled excepted \
             reviewed owner_changed policy_changed key_rotated restored registered changed invited enrolled removed \
             signed_in signed_out ended adopted leased released used recovered backed_up erased \
             run_started run_ended accepted raised"
        );
        for event in Event::ALL {
            assert_eq!(event.text().parse(), Ok(*event));
        }
    }

    #[test]
    fn another_way_of_writing_the_same_is_refused() {
        let good = full().to_text();
        assert_eq!(Entry::parse(good.as_bytes()), Ok(full()));
        let twice = good.replace(r#""seq":7"#, r#""seq":7,"seq":7"#);
        for (bad, why) in [
            (good.replace(":7,", ": 7,"), BadEntry::NotCanonical),
            (good.clone() + "\n", BadEntry::NotCanonical),
            (good.replace("/é", "\\/é"), BadEntry::NotCanonical),
            (good.replace("é", "\\u00e9"), BadEntry::NotCanonical),
            (
                Entry::new(Event::Cut, AT, Actor::System)
                    .to_text()
                    .replace(r#""seq""#, r#""org":null,"seq""#),
                BadEntry::NotCanonical,
            ),
            (good.replace(r#""v":1"#, r#""v":0"#), BadEntry::Malformed),
            (good.replace(r#""seq":7"#, r#""seq":-7"#), BadEntry::Malformed),
            (good.replace(r#""seq":7"#, r#""seq":7.0"#), BadEntry::Malformed),
            (good.replace(r#""seq":7"#, r#""seq":9223372036854775807"#), BadEntry::Malformed),
            (good.replace(r#""generation":3"#, r#""generation":[3]"#), BadEntry::Malformed),
            (good.replace(r#""generation":3"#, r#""generation":null"#), BadEntry::Malformed),
            (good.replace(r#""generation":3"#, r#""Generation":3"#), BadEntry::Malformed),
            (good.replace(r#""generation""#, r#""zeneration""#), BadEntry::Malformed),
            (good.replace("ses_", "crd_"), BadEntry::Malformed),
            (good.replace("_s\"", "_t\""), BadEntry::Malformed),
            (twice, BadEntry::Malformed),
            (String::new(), BadEntry::Malformed),
        ] {
            assert_ne!(bad, good);
            assert_eq!(Entry::parse(bad.as_bytes()), Err(why), "{bad}");
        }
        assert_eq!(Entry::parse(b"\xff"), Err(BadEntry::Malformed));
        assert_eq!(Entry::parse(&vec![b'['; LEAF_MAX]), Err(BadEntry::Malformed));
        assert_eq!(Entry::parse(&vec![b' '; LEAF_MAX + 1]), Err(BadEntry::Malformed));
    }

    #[test]
    fn what_a_newer_version_wrote_is_told_from_what_is_broken() {
        let good = full().to_text();
        let newer = Entry::parse(good.replace(r#""v":1"#, r#""v":2"#).as_bytes()).unwrap_err();
        assert_eq!((newer.is_newer(), newer), (true, BadEntry::Version(2)));
        let reshaped = Entry::parse(br#"{"a":{"b":[1.5]},"v":3}"#).unwrap_err();
        assert_eq!((reshaped.is_newer(), reshaped), (true, BadEntry::Version(3)));
        let event = Entry::parse(good.replace("refreshed", "teleported").as_bytes()).unwrap_err();
        assert_eq!((event.is_newer(), event.to_string().contains("`teleported`")), (true, true));
        // A key of a newer version is kept, so that the leaf still reads.
        let keyed = good.replace(r#""reason""#, r#""quantum_level""#).replace(r#""generation":3,"#, "");
        assert_eq!(Entry::parse(keyed.as_bytes()).unwrap().to_text(), keyed);
    }

    #[test]
    fn every_actor_reads_back() {
        let entropy = Seeded::new(3);
        let ids =
            [Actor::Principal(PrincipalId::new(AT, &entropy)), Actor::Client(ClientId::new(AT, &entropy))];
        for actor in ids.into_iter().chain([Actor::Operator, Actor::System, Actor::Nobody]) {
            let entry = Entry::new(Event::Cut, AT, actor);
            assert_eq!(Entry::parse(entry.to_text().as_bytes()), Ok(entry));
        }
    }

    proptest! {
        #[test]
        fn every_entry_reads_back_and_its_leaf_is_canonical_json(
            seq in 0..MAX_SIZE, at: i64, event in 0..Event::ALL.len(), which: u16, ids: [u8; 16],
            texts in proptest::collection::vec("(?s).{0,20}", 3), n: i64, yes: bool,
        ) {
            let has = |bit: u16| which >> bit & 1 == 1;
            let mut detail = Detail::new();
            for (i, text) in texts.into_iter().enumerate() {
                if has(i as u16) {
                    detail = detail.with(Key::ALL[i * 3].clone(), text);
                }
            }
            if has(4) {
                detail = detail.with(Key::UID, n).with(Key::KIND, yes);
            }
            let entry = Entry {
                seq,
                org: has(5).then(|| OrgId::from_bytes(ids)),
                principal: has(6).then(|| PrincipalId::from_bytes(ids)),
                client: has(7).then(|| ClientId::from_bytes(ids)),
                device: has(8).then(|| DeviceId::from_bytes(ids)),
                session: has(9).then(|| SessionId::from_bytes(ids)),
                credential: has(10).then(|| CredentialId::from_bytes(ids)),
                resource: has(11).then(|| ResourceId::from_bytes(ids)),
                lease: has(12).then(|| LeaseId::from_bytes(ids)),
                personal: has(13).then_some(Commitment([ids[0]; 32])),
                detail,
                ..Entry::new(Event::ALL[event], Timestamp::from_millis(at), Actor::Client(ClientId::from_bytes(ids)))
            };
            let text = entry.to_text();
            prop_assert_eq!(Entry::parse(text.as_bytes()), Ok(entry));
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::to_string(&value).unwrap(), text);
        }

        #[test]
        fn no_bytes_panic_and_what_reads_is_canonical(at in 0usize..600, byte: u8, noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::parse(&noise);
            let mut bent = full().to_text().into_bytes();
            let at = at % bent.len();
            bent[at] = byte;
            if let Ok(entry) = Entry::parse(&bent) {
                prop_assert_eq!(entry.to_text().into_bytes(), bent);
            }
        }
    }
}
