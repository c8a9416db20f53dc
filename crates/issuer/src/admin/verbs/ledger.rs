//! Reading the ledger.

use std::str::FromStr;

use bytes::Bytes;
use futures_util::stream;
use hallpass_model::id::BadId;
use hallpass_model::ledger::{Checkpoint, EntryProof, Event, GrowthProof, NotProven};
use hallpass_model::principal::Org;
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_store::{Filter, LedgerEntry};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::Body;
use crate::admin::forms::{
    CheckpointShown, LedgerAsk, LedgerPage, LedgerPageAsk, Nothing, ProofAsk, ProofShown,
};
use crate::admin::office::{Office, PAGE};
use crate::admin::refused::Refused;
use crate::admin::story::Story;

pub(super) async fn checkpoint(office: &Office, Nothing {}: Nothing) -> Result<CheckpointShown, Refused> {
    let (note, size) = sign(office).await?;
    Ok(CheckpointShown { note, size, key: office.store().ledger_verifier().to_string() })
}

/// A signed note over everything so far, and its size.
async fn sign(office: &Office) -> Result<(String, u64), Refused> {
    let note = office.store().ledger_checkpoint(office.now()).await?;
    let checkpoint = Checkpoint::open(&note, &office.store().ledger_verifier())
        .map_err(|bad| Refused::broken(format_args!("the store's own checkpoint is bad: {bad}")))?;
    Ok((note, checkpoint.size))
}

/// A proof for somebody who has neither the ledger nor this server.
pub(super) async fn prove(office: &Office, form: ProofAsk) -> Result<ProofShown, Refused> {
    match (form.entry, form.since) {
        (Some(entry), None) => prove_entry(office, entry).await,
        (None, Some(since)) => prove_growth(office, &since).await,
        _ => Err(Refused::usage("a proof is of one entry, or of the growth since one checkpoint")),
    }
}

async fn prove_entry(office: &Office, index: u64) -> Result<ProofShown, Refused> {
    let (note, size) = sign(office).await?;
    let absent = || Refused::not_there(format_args!("there is no entry {index}: the ledger has {size}"));
    let path = office.store().ledger_inclusion(index, size).await?.ok_or_else(absent)?;
    let entry = office.store().find_ledger_entry(index).await?.ok_or_else(absent)?;
    // SECURITY: an entry of another org's, or of none, is not seen from here; which there are is no secret.
    if let Some(own) = office.confined_to()
        && entry.entry().ok().and_then(|entry| entry.org) != Some(own.id)
    {
        return Err(Refused::not_there(format_args!("entry {index} is none of `{}`", own.name)));
    }
    let proof = EntryProof { index, leaf: entry.leaf.into_bytes(), path, note };
    // What proves nothing is not handed out.
    proof.verify(&office.store().ledger_verifier()).map_err(damaged)?;
    Ok(ProofShown { proof: proof.render(), size })
}

async fn prove_growth(office: &Office, since: &str) -> Result<ProofShown, Refused> {
    let key = office.store().ledger_verifier();
    let earlier = Checkpoint::open(since, &key)
        .map_err(|bad| Refused::usage(format_args!("the checkpoint is not to be relied on: {bad}")))?;
    let (note, size) = sign(office).await?;
    let path = office.store().ledger_consistency(earlier.size, size).await?.ok_or_else(|| {
        Refused::conflict(format_args!(
            "the checkpoint is over {} entries, and the ledger has {size}: its end was cut off, or it was put back from a backup",
            earlier.size
        ))
    })?;
    let proof = GrowthProof { old: earlier.size, path, note };
    match proof.verify(&key, since) {
        Ok(_) => Ok(ProofShown { proof: proof.render(), size }),
        Err(NotProven::Hashes(_)) => {
            Err(Refused::conflict("the ledger does not begin with what this checkpoint signed")
                .hint("`hallpass ledger verify --since CHECKPOINT` says where they part"))
        }
        Err(why) => Err(damaged(why)),
    }
}

fn damaged(why: NotProven) -> Refused {
    Refused::broken(format_args!("the ledger's tree is damaged: {why}"))
        .hint("`hallpass ledger verify` says where")
}

/// Entries line by line, a page at a time; with `follow` it goes on until either end is gone.
pub(super) async fn list(office: &Office, form: LedgerAsk) -> Result<Body, Refused> {
    // A token lives minutes, and nothing that is done with it goes on for ever.
    if form.follow && office.confined_to().is_some() {
        return Err(Refused::usage("the ledger is followed on the server's own machine alone")
            .hint("ask again, `since` the last entry you have"));
    }
    let filter = filter(office, &form).await?;
    let walk = Walk {
        story: Story::new(office.clone()),
        office: office.clone(),
        filter,
        from: 0,
        follow: form.follow,
    };
    let pages = stream::unfold(Some(walk), async |walk| {
        let (lines, walk) = walk?.next().await?;
        Some((Ok(Frame::data(lines)), walk))
    });
    Ok(StreamBody::new(pages).boxed_unsync())
}

/// Entries on one page, at most.
const PAGE_MAX: u32 = 200;
/// Where nobody says.
const PAGE_USUAL: u32 = 50;

/// The newest entries, or those before one. What it costs does not depend on how long the ledger is.
pub(super) async fn page(office: &Office, form: LedgerPageAsk) -> Result<LedgerPage, Refused> {
    let LedgerPageAsk { org, before, limit, since, principal, client, device, session, event } = form;
    let limit = limit.unwrap_or(PAGE_USUAL).clamp(1, PAGE_MAX);
    let asked = LedgerAsk { org, since, principal, client, device, session, event, follow: false };
    let filter = filter(office, &asked).await?;
    let back = office.store().list_ledger_back(&filter, before, limit).await?;
    let mut story = Story::new(office.clone());
    let mut entries = Vec::with_capacity(back.items.len());
    for entry in back.items {
        entries.push(story.tell(entry).await);
    }
    Ok(LedgerPage { entries, next: back.next })
}

/// A walk through the ledger under way.
struct Walk {
    office: Office,
    story: Story,
    filter: Filter,
    from: u64,
    follow: bool,
}

impl Walk {
    /// The next lines, and the walk if it goes on. None at the end.
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        loop {
            // What is written after this is seen by the next look.
            let mut growth = self.office.store().ledger_follow();
            let size = *growth.borrow_and_update();
            let page = match self.office.store().list_ledger(&self.filter, self.from, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "the ledger could not be read for a command of the operator's");
                    return None;
                }
            };
            self.from = match (page.items.last(), page.more) {
                (Some(last), true) => last.seq + 1,
                (Some(last), false) => size.max(last.seq + 1),
                (None, _) => self.from.max(size),
            };
            if !page.items.is_empty() {
                let lines = self.lines(page.items).await;
                let goes_on = page.more || self.follow;
                return Some((lines, goes_on.then_some(self)));
            }
            if !self.follow {
                return None;
            }
            tokio::select! {
                grown = growth.changed() => grown.ok()?,
                () = self.office.closed() => return None,
            }
        }
    }

    async fn lines(&mut self, entries: Vec<LedgerEntry>) -> Bytes {
        let mut lines = Vec::new();
        for entry in entries {
            let shown = self.story.tell(entry).await;
            serde_json::to_writer(&mut lines, &shown).expect("an entry is plain data");
            lines.push(b'\n');
        }
        lines.into()
    }
}

async fn filter(office: &Office, form: &LedgerAsk) -> Result<Filter, Refused> {
    let mut filter = Filter::default();
    if let Some(org) = &form.org {
        filter.org = Some(office.org(Some(org)).await?.id);
    }
    if let Some(since) = &form.since {
        filter.since = Some(moment(since, office.now())?);
    }
    if let Some(event) = &form.event {
        filter.event = Some(event_named(event)?);
    }
    if let Some(typed) = &form.principal {
        filter.principal = Some(match id(typed) {
            Some(id) => id?,
            None => office.person(&only(office, form).await?, typed).await?.id,
        });
    }
    if let Some(typed) = &form.client {
        filter.client = Some(match id(typed) {
            Some(id) => id?,
            None => {
                let org = only(office, form).await?;
                let client = office.store().find_client_by_handle(org.id, typed).await?;
                client
                    .ok_or_else(|| {
                        Refused::not_there(format_args!("there is no client `{typed}` in `{}`", org.name))
                    })?
                    .id
            }
        });
    }
    filter.device =
        form.device.as_deref().map(str::parse).transpose().map_err(|bad: BadId| Refused::usage(bad))?;
    filter.session =
        form.session.as_deref().map(str::parse).transpose().map_err(|bad: BadId| Refused::usage(bad))?;
    Ok(filter)
}

async fn only(office: &Office, form: &LedgerAsk) -> Result<Org, Refused> {
    office.org(form.org.as_deref()).await
}

/// The id that was typed, if it looks like one: a short name has no underscore.
fn id<I: FromStr<Err = BadId>>(typed: &str) -> Option<Result<I, Refused>> {
    typed.contains('_').then(|| typed.parse().map_err(|bad: BadId| Refused::usage(bad)))
}

fn event_named(typed: &str) -> Result<Event, Refused> {
    typed.parse().map_err(|unknown| {
        let refused = Refused::usage(&unknown);
        match hallpass_model::nearest::nearest(typed, Event::ALL.iter().map(|event| event.text())) {
            Some(near) => refused.hint(format_args!("did you mean `{near}`?")),
            None => refused.hint(Event::ALL.iter().map(|event| event.text()).collect::<Vec<_>>().join(", ")),
        }
    })
}

/// A moment, or how long ago.
fn moment(typed: &str, now: Timestamp) -> Result<Timestamp, Refused> {
    if let Ok(ago) = typed.parse::<Lifetime>() {
        return Ok(now - ago);
    }
    let moment: jiff::Timestamp = typed.parse().map_err(|_| {
        Refused::usage(format_args!("`{typed}` is neither a moment nor a length of time"))
            .hint("write `2026-11-22T09:30:00Z`, or `2h` for two hours ago")
    })?;
    Ok(Timestamp::from_millis(moment.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_moment_or_how_long_ago() {
        let now = Timestamp::from_seconds(1_000_000);
        assert_eq!(moment("2h", now).unwrap(), Timestamp::from_seconds(1_000_000 - 7_200));
        assert_eq!(moment("1970-01-01T00:00:09Z", now).unwrap(), Timestamp::from_seconds(9));
        assert_eq!(
            moment("yesterday", now).unwrap_err().message,
            "`yesterday` is neither a moment nor a length of time"
        );
    }

    #[test]
    fn an_unknown_event_names_the_nearest() {
        assert_eq!(event_named("refershed").unwrap_err().hint.as_deref(), Some("did you mean `refreshed`?"));
    }
}
