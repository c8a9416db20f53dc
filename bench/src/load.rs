//! The load: a process of its own that asks one thing over and over, and says how it went.
//!
//! It is told a [`Job`] on standard input and answers with a [`Tally`] on standard output. Each connection holds tokens that
//! no other holds, so a refresh always presents the newest of its session; those rotated are written back where they came
//! from, for the next job. All of it runs on one thread (and one more that keeps time), to leave the server the rest.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};

use crate::Failure;
use crate::http::{Connection, member};
use crate::process;

/// What to ask, of whom, how hard and for how long.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Where the server listens.
    pub(crate) address: String,
    /// The server's process, whose processor time is read at both ends of the window.
    pub(crate) pid: u32,
    /// Request line and headers.
    pub(crate) head: String,
    /// The form, to which a token is appended.
    pub(crate) form: String,
    /// A file with the tokens, one a line.
    pub(crate) tokens: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) pace: Pace,
    /// Where to put the access tokens that refreshes answer, if they are wanted.
    pub(crate) access_tokens: Option<PathBuf>,
    /// How many ask at once.
    pub(crate) connections: usize,
}

/// What a token is sent for, and so what a good answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// The answer holds the token to send next.
    Refresh,
    /// The answer says that it is active.
    Introspection,
    /// The answer holds an access token; what it was asked with may be good for that once.
    Grant,
}

/// How hard.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// As fast as the server answers, tokens in turn.
    Saturate { warm_up: Duration, window: Duration },
    /// So many a second, each at its instant, whatever became of those before.
    Fixed { per_second: f64, warm_up: Duration, window: Duration },
    /// Each token once, as fast as the server answers.
    Once,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Good answers within the window.
    pub(crate) requests: u64,
    /// The window's length.
    pub(crate) seconds: f64,
    /// The server's processor time in it.
    pub(crate) cpu_seconds: f64,
    /// Milliseconds from when a request was due until its answer; half of them were answered within this.
    pub(crate) p50_ms: f64,
    /// And 99 in 100 within this.
    pub(crate) p99_ms: f64,
}

/// Reads the job, does it, and says what came of it.
pub(crate) fn serve() -> Result<(), Failure> {
    let mut job = String::new();
    std::io::stdin().read_to_string(&mut job)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tally = tokio::task::LocalSet::new().block_on(&runtime, run(serde_json::from_str(&job)?))?;
    serde_json::to_writer(std::io::stdout().lock(), &tally)?;
    Ok(std::io::stdout().flush()?)
}

async fn run(job: Job) -> Result<Tally, Failure> {
    let job = Rc::new(job);
    let tokens: Vec<String> = fs::read_to_string(&job.tokens)?.lines().map(str::to_owned).collect();
    let connections = job.connections.min(tokens.len());
    let mut hands = vec![Vec::new(); connections];
    for (number, token) in tokens.into_iter().enumerate() {
        hands[number % connections].push(token);
    }
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(Connection::open(&job.address, &job.head).await?);
    }

    let clock = Rc::new(Window::of(job.pace));
    let due = due_times(job.pace, clock.begins).map(|times| Rc::new(Mutex::new(times)));
    let askers: Vec<_> = opened
        .into_iter()
        .zip(hands)
        .map(|(connection, hand)| {
            let asker = Asker {
                connection,
                hand,
                issued: Vec::new(),
                job: job.clone(),
                due: due.clone(),
                clock: clock.clone(),
            };
            tokio::task::spawn_local(asker.ask())
        })
        .collect();

    tokio::time::sleep_until(clock.begins.into()).await;
    let (cpu, from) = (process::cpu_seconds(job.pid)?, Instant::now());
    if let Some(ends) = clock.ends {
        tokio::time::sleep_until(ends.into()).await;
    }
    let mut measured = clock.ends.map(|_| (process::cpu_seconds(job.pid), from.elapsed()));
    let (mut latencies, mut rotated, mut access) = (Vec::new(), Vec::new(), Vec::new());
    for asker in askers {
        let (took, hand, issued) = asker.await??;
        access.push(issued);
        latencies.extend(took);
        rotated.push(hand);
    }
    let (cpu_end, lasted) =
        measured.take().unwrap_or_else(|| (process::cpu_seconds(job.pid), from.elapsed()));
    if job.kind == Kind::Refresh {
        keep(&job.tokens, &rotated)?;
    }
    if let Some(file) = &job.access_tokens {
        keep(file, &access)?;
    }
    latencies.sort_unstable();
    Ok(Tally {
        requests: latencies.len() as u64,
        seconds: lasted.as_secs_f64(),
        cpu_seconds: cpu_end? - cpu,
        p50_ms: quantile_ms(&latencies, 0.50),
        p99_ms: quantile_ms(&latencies, 0.99),
    })
}

/// One connection and the tokens that it alone holds.
struct Asker {
    connection: Connection,
    hand: Vec<String>,
    issued: Vec<String>,
    job: Rc<Job>,
    due: Option<Rc<Mutex<mpsc::UnboundedReceiver<Instant>>>>,
    clock: Rc<Window>,
}

impl Asker {
    /// Asks until the window ends; how long each answer in it took, and the tokens as they are now.
    async fn ask(mut self) -> Result<(Vec<Duration>, Vec<String>, Vec<String>), Failure> {
        let mut took = Vec::new();
        for turn in 0.. {
            let due = match &self.due {
                Some(times) => match times.lock().await.recv().await {
                    Some(due) => due,
                    None => break,
                },
                None => Instant::now(),
            };
            let over = self.clock.ends.is_some_and(|ends| due >= ends);
            if over || (matches!(self.job.pace, Pace::Once) && turn == self.hand.len()) {
                break;
            }
            let place = turn % self.hand.len();
            if self.job.kind == Kind::Grant && turn > 0 && place == 0 && self.hand.len() > 1 {
                return Err("what is good once was used up: sign more".into());
            }
            self.send(place).await?;
            let now = Instant::now();
            // What is answered after the end is not of the window, unless it was due in it.
            let within = due >= self.clock.begins
                && (self.due.is_some() || self.clock.ends.is_none_or(|ends| now < ends));
            if within {
                took.push(now - due);
            }
        }
        Ok((took, self.hand, self.issued))
    }

    async fn send(&mut self, place: usize) -> Result<(), Failure> {
        let answer = self.connection.post(&self.job.form, &self.hand[place]).await?;
        let good = match self.job.kind {
            Kind::Refresh => match member(answer.body, "refresh_token") {
                Some(next) if answer.status == 200 => {
                    if self.job.access_tokens.is_some() {
                        self.issued.extend(member(answer.body, "access_token").map(str::to_owned));
                    }
                    self.hand[place] = next.to_owned();
                    true
                }
                _ => false,
            },
            Kind::Introspection => answer.status == 200 && is_active(answer.body),
            Kind::Grant => answer.status == 200 && member(answer.body, "access_token").is_some(),
        };
        match good {
            true => Ok(()),
            // One wrong answer and the numbers mean nothing.
            false => {
                Err(format!("answered {}: {}", answer.status, String::from_utf8_lossy(answer.body)).into())
            }
        }
    }
}

/// When what is measured begins and, where it ends by the clock, ends.
#[derive(Debug)]
struct Window {
    begins: Instant,
    ends: Option<Instant>,
}

impl Window {
    fn of(pace: Pace) -> Self {
        let now = Instant::now();
        match pace {
            Pace::Once => Self { begins: now, ends: None },
            Pace::Saturate { warm_up, window } | Pace::Fixed { warm_up, window, .. } => {
                Self { begins: now + warm_up, ends: Some(now + warm_up + window) }
            }
        }
    }
}

/// The instants at which requests are due, each sent when it comes. A thread of its own keeps them: the runtime's timers are
/// a millisecond coarse, which is a good part of what is being measured.
fn due_times(pace: Pace, begins: Instant) -> Option<mpsc::UnboundedReceiver<Instant>> {
    let Pace::Fixed { per_second, warm_up, window } = pace else { return None };
    let (send, receive) = mpsc::unbounded_channel();
    let start = begins - warm_up;
    let count = ((warm_up + window).as_secs_f64() * per_second) as u64;
    std::thread::spawn(move || {
        for number in 0..count {
            let due = start + Duration::from_secs_f64(number as f64 / per_second);
            while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                std::thread::park_timeout(left); // nobody unparks it: this is a sleep that may end early
            }
            if send.send(due).is_err() {
                return;
            }
        }
    });
    Some(receive)
}

fn is_active(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| text.contains("\"active\":true"))
}

/// Writes the tokens back as they are now, in the order they came in.
fn keep(file: &PathBuf, hands: &[Vec<String>]) -> Result<(), Failure> {
    let mut text = String::new();
    let longest = hands.iter().map(Vec::len).max().unwrap_or_default();
    for place in 0..longest {
        for token in hands.iter().filter_map(|hand| hand.get(place)) {
            text.push_str(token);
            text.push('\n');
        }
    }
    Ok(fs::write(file, text)?)
}

/// The value that `part` of them do not exceed (nearest rank), in milliseconds.
fn quantile_ms(sorted: &[Duration], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
}

/// Connections that ask at once: enough that a server which commits many operations together has many to commit.
pub(crate) const CONNECTIONS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_nearest_rank() {
        let hundred: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile_ms(&hundred, 0.50), 50.0);
        assert_eq!(quantile_ms(&hundred, 0.99), 99.0);
        assert_eq!(quantile_ms(&hundred[..1], 0.99), 1.0);
        assert_eq!(quantile_ms(&[], 0.99), 0.0);
    }

    #[test]
    fn tokens_go_back_in_the_order_they_came() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let hands = [vec!["a".to_owned(), "c".to_owned()], vec!["b".to_owned()]];
        keep(&file.path().to_owned(), &hands).unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "a\nb\nc\n");
    }
}
