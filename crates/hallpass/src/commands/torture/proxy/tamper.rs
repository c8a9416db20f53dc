//! What becomes of one request.

use std::io::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWrite;

use super::door::{Door, Process};
use super::{Proxy, Seen};
use crate::commands::torture::chain::{Loss, Noticed, Print};
use crate::commands::torture::fault::{Fault, below};
use crate::commands::torture::wire::{self, Answer, Request};

/// Of requests that are about tokens but renew nothing, one in so many is tampered with too.
const ONE_OTHER_IN: u64 = 4;

/// One request, and how it is counted.
struct Under<'a> {
    authority: &'a str,
    request: Request,
    door: &'a Arc<Door>,
    /// The process that asks.
    child: Option<Arc<Process>>,
    /// The refresh token in it, if it is a renewal.
    presented: Option<Print>,
    /// Whether its process waits for the answer to a renewal.
    waits: AtomicBool,
}

impl Proxy {
    /// Answers one request, or does not. Whether the connection goes on.
    pub(super) async fn answer(
        self: &Arc<Self>,
        authority: &str,
        request: Request,
        stream: &mut (impl AsyncWrite + Unpin),
        door: &Arc<Door>,
    ) -> Result<bool> {
        let grant_type = request.field("grant_type");
        let renewing = grant_type.as_deref() == Some("refresh_token");
        let about_tokens =
            renewing || grant_type.as_deref().is_some_and(|it| it.ends_with(":token-exchange"));
        let presented = request.field("refresh_token").filter(|_| renewing);
        let presented = presented.map(|token| self.seen().chain.print(&token));
        let fault = {
            let mut seen = self.seen();
            if let Some(presented) = presented {
                seen.begin(door.sign_in(), presented);
            }
            match seen.severity {
                _ if renewing && door.losing.swap(false, Ordering::Relaxed) => Fault::LoseAnswer,
                Some(severity) if renewing || (about_tokens && below(ONE_OTHER_IN) == 0) => {
                    seen.asked += 1;
                    Fault::of(severity, seen.asked)
                }
                _ => Fault::None,
            }
        };
        let (child, waits) = (door.child(), AtomicBool::new(presented.is_some()));
        if let (Some(child), Some(_)) = (&child, presented) {
            *child.presented.lock().expect("no thread panics holding this") = presented;
        }
        let under = Under { authority, request, door, child, presented, waits };
        let goes_on = self.under_fault(fault, &under, stream).await;
        if !matches!(goes_on, Ok(true)) {
            self.lost(&under);
        }
        goes_on
    }

    async fn under_fault(
        self: &Arc<Self>,
        fault: Fault,
        under: &Under<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Result<bool> {
        if let Some(name) = fault.name() {
            *self.seen().tally.faults.entry(name).or_default() += 1;
        }
        match fault {
            Fault::LoseRequest => {
                self.no_longer_under_way(under);
                return Ok(false);
            }
            Fault::Trouble(status) => {
                self.no_longer_under_way(under);
                wire::write(stream, &Answer::instead(status, "in trouble").render()).await?;
                return Ok(true);
            }
            Fault::KillBefore => {
                self.kill(under);
                return Ok(false);
            }
            Fault::Late(after) => {
                self.no_longer_under_way(under);
                self.late(under, after);
                return Ok(false);
            }
            Fault::KillWhileAsked => self.kill(under),
            _ => {}
        }
        let Some(mut answer) = self.ask(under).await else {
            self.seen().tally.unanswered += 1;
            self.no_longer_under_way(under);
            return Ok(false);
        };
        if fault == Fault::AskTwice
            && let Some(second) = self.ask(under).await
            && below(2) == 0
        {
            answer = second;
        }
        if under.presented.is_some() {
            answer = self.by_scenario(under.door, answer).await;
        }
        // Of what a killed process asked, nobody hears the answer.
        if fault != Fault::KillWhileAsked {
            self.refusal(under, &answer);
        }
        self.deliver(fault, under, &answer, stream).await
    }

    /// The last step, where the answer is there.
    async fn deliver(
        &self,
        fault: Fault,
        under: &Under<'_>,
        answer: &Answer,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Result<bool> {
        let bytes = answer.render();
        match fault {
            Fault::KillWhileAsked => return Ok(false),
            Fault::LoseAnswer => {
                self.no_longer_under_way(under);
                return Ok(false);
            }
            Fault::CutAnswer => {
                self.no_longer_under_way(under);
                wire::write(stream, &bytes[..bytes.len() - answer.body.len() / 2 - 1]).await?;
                return Ok(false);
            }
            Fault::KillWhileAnswered => {
                self.kill(under);
                return Ok(false);
            }
            Fault::Hold(length) => tokio::time::sleep(length).await,
            _ => {}
        }
        self.no_longer_under_way(under);
        wire::write(stream, &bytes).await?;
        match fault {
            Fault::AnswerTwice => {
                self.delivered(under);
                wire::write(stream, &bytes).await?;
            }
            Fault::KillAfter(after) => {
                tokio::time::sleep(after).await;
                self.kill(under);
                return Ok(false);
            }
            Fault::AskTwice => self.lost(under), // the other of the two answers
            _ => self.delivered(under),
        }
        Ok(true)
    }

    /// Asks the provider, and writes down what it said.
    async fn ask(&self, under: &Under<'_>) -> Option<Answer> {
        let mut answer = self.upstream.ask(under.authority, &under.request).await?;
        shift_date(&mut answer, self.clock_shift.load(Ordering::Relaxed));
        let mut seen = self.seen();
        if let (200, Some(presented), Some(json)) = (answer.status, under.presented, answer.json()) {
            let token = |name: &str| json[name].as_str().map(|token| seen.chain.print(token));
            let (refresh, access) = (token("refresh_token"), token("access_token"));
            seen.last = refresh.or(access);
            seen.chain.answered(presented, refresh);
            seen.tally.refreshes += 1;
        }
        if let (200, None, Some(token)) =
            (answer.status, under.request.field("grant_type"), under.request.field("token"))
        {
            let revoked = seen.chain.print(&token);
            seen.revoked.insert(revoked);
        }
        Some(answer)
    }

    /// Holds or changes an answer, where a scenario wants that.
    async fn by_scenario(&self, door: &Door, answer: Answer) -> Answer {
        let holding = door.holding.lock().expect("no thread panics holding this").take();
        if let Some(holding) = holding {
            let _ = holding.answered.send(answer.status);
            let _ = holding.go.await;
        }
        let mut rewriting = door.rewriting.lock().expect("no thread panics holding this");
        match rewriting.and_then(|how| how(&answer)) {
            Some(changed) => {
                *rewriting = None;
                changed
            }
            None => answer,
        }
    }

    /// Passes a request on when its sender has long given it up.
    fn late(self: &Arc<Self>, under: &Under<'_>, after: Duration) {
        let (proxy, authority, request) = (self.clone(), under.authority.to_owned(), under.request.clone());
        let (door, presented) = (under.door.clone(), under.presented);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let waits = AtomicBool::new(false);
            let under = Under { authority: &authority, request, door: &door, child: None, presented, waits };
            let _ = proxy.ask(&under).await; // nobody is there to hear it
            proxy.lost(&under);
        });
    }

    fn kill(&self, under: &Under<'_>) {
        self.no_longer_under_way(under);
        let Some(child) = under.child.as_ref().filter(|child| child.kill()) else { return };
        let mut seen = self.seen();
        seen.tally.kills += 1;
        // It may have gone on since: what it had last may not be saved.
        if let Some(last) = *child.presented.lock().expect("no thread panics holding this") {
            seen.chain.maybe_not_saved(last);
        }
    }

    fn refusal(&self, under: &Under<'_>, answer: &Answer) {
        let Some(presented) = under.presented else { return };
        let over = answer.status >= 400
            && answer.json().is_some_and(|json| json["error"].as_str() == Some("invalid_grant"));
        let mut seen = self.seen();
        if over && seen.refused.insert(presented) {
            match seen.chain.refused(presented) {
                Loss::Excused => seen.tally.excused += 1,
                Loss::Unexcused => seen.tally.unexcused += 1,
            }
        }
    }

    fn delivered(&self, under: &Under<'_>) {
        let killed = under.child.as_ref().is_some_and(|child| child.was_killed());
        match under.presented {
            Some(presented) if killed => self.seen().chain.lost(presented),
            Some(presented) => self.seen().chain.delivered(presented),
            None => {}
        }
    }

    fn lost(&self, under: &Under<'_>) {
        if let Some(presented) = under.presented {
            self.seen().chain.lost(presented);
        }
    }

    /// Said before the process can know: from then on another may begin.
    fn no_longer_under_way(&self, under: &Under<'_>) {
        if under.waits.swap(false, Ordering::Relaxed) {
            let mut seen = self.seen();
            let under_way = seen.under_way.entry(under.door.sign_in()).or_default();
            *under_way = under_way.saturating_sub(1);
        }
    }
}

impl Seen {
    /// A renewal of a living process begins.
    fn begin(&mut self, sign_in: usize, presented: Print) {
        match self.chain.presented(presented) {
            Noticed::Nothing => {}
            Noticed::Retry => self.tally.retries += 1,
            Noticed::Replay => self.tally.replays += 1,
        }
        let under_way = self.under_way.entry(sign_in).or_default();
        *under_way += 1;
        if *under_way > 1 {
            self.tally.at_once += 1;
        }
    }
}

/// Moves the `Date` of an answer.
fn shift_date(answer: &mut Answer, seconds: i64) {
    let Some((_, value)) = answer.headers.iter_mut().find(|(name, _)| name == "date") else { return };
    let date = std::str::from_utf8(value).ok().and_then(|text| httpdate::parse_http_date(text).ok());
    let by = Duration::from_secs(seconds.unsigned_abs());
    let shifted = date.and_then(|date| if seconds < 0 { date.checked_sub(by) } else { date.checked_add(by) });
    if let Some(shifted) = shifted.filter(|_| seconds != 0) {
        *value = httpdate::fmt_http_date(shifted).into_bytes();
    }
}
