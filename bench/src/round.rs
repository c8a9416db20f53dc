//! What is asked of a side in one round, in order.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::load::{CONNECTIONS, Job, Kind, Pace, Tally};
use crate::report::{Name, Wanted};
use crate::side::{Question, Server, Side};
use crate::{Failure, process};

/// Which parts of a round are wanted, and how long each load is measured.
#[derive(Debug)]
pub(crate) struct Plan {
    names: Vec<Name>,
    window: Duration,
    sessions: usize,
}

impl Plan {
    /// What those names need that are wanted.
    pub(crate) fn for_names(wanted: &Wanted, seconds: u64, sessions: usize) -> Self {
        Self {
            names: Name::ALL.into_iter().filter(|name| wanted.has(*name)).collect(),
            window: Duration::from_secs(seconds),
            sessions,
        }
    }

    /// Whether anything is asked of this side.
    pub(crate) fn includes(&self, side: Side) -> bool {
        match side {
            Side::Ours => true,
            Side::Peer => self.names.iter().any(|name| !SIGNED.contains(name)),
            Side::PeerSigned => self.wants(&SIGNED),
        }
    }

    fn wants(&self, any: &[Name]) -> bool {
        any.iter().any(|name| self.names.contains(name))
    }
}

/// What one round of one side gave; what the plan did not want is absent.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Milliseconds from an empty start to the first answer.
    pub(crate) start_ms: Option<f64>,
    /// MiB after it, with nothing to do.
    pub(crate) rest_rss_mib: Option<f64>,
    /// MiB with 100,000 sessions, after their refreshes, if there were any.
    pub(crate) rss_100k_mib: Option<f64>,
    pub(crate) refresh: Option<Tally>,
    pub(crate) refresh_at_half: Option<Tally>,
    pub(crate) introspection_warm: Option<Tally>,
    pub(crate) introspection_cold: Option<Tally>,
}

/// Runs one round.
pub(crate) fn run(side: Side, plan: &Plan) -> Result<Figures, Failure> {
    let mut figures = Figures::default();
    if side == Side::PeerSigned {
        // The rest of it is no different from the other.
        figures.refresh = Some(saturated(&side.start(plan.sessions)?, plan)?);
        return Ok(figures);
    }
    if plan.wants(&[Name::StartMs, Name::RestRssMib]) {
        let server = side.start(0)?;
        figures.start_ms = Some(server.first_answer.as_secs_f64() * 1000.0);
        process::pause(SETTLE);
        figures.rest_rss_mib = Some(process::rss_mib(server.pid())?);
    }
    let refresh = [Name::RefreshRatio, Name::RefreshCpuRatio, Name::RefreshP99Ms, Name::Rss100kSessionsMib];
    if plan.wants(&refresh) || (side == Side::Ours && plan.wants(&SIGNED)) {
        refreshes(side, plan, &mut figures)?;
    }
    if plan.wants(&[Name::IntrospectionRatio, Name::IntrospectionColdCpuRatio]) {
        introspections(side, plan, &mut figures)?;
    }
    Ok(figures)
}

fn refreshes(side: Side, plan: &Plan, figures: &mut Figures) -> Result<(), Failure> {
    let server = side.start(plan.sessions)?;
    let at_most = saturated(&server, plan)?;
    figures.refresh = Some(at_most);
    figures.rss_100k_mib = Some(process::rss_mib(server.pid())?);
    if plan.wants(&[Name::RefreshP99Ms]) {
        let per_second = at_most.requests as f64 / at_most.seconds / 2.0;
        let pace = Pace::Fixed { per_second, warm_up: WARM_UP, window: plan.window };
        figures.refresh_at_half = Some(load(&server, &server.refresh, Kind::Refresh, pace)?);
    }
    Ok(())
}

/// As many refreshes as it can answer.
fn saturated(server: &Server, plan: &Plan) -> Result<Tally, Failure> {
    let saturate = Pace::Saturate { warm_up: WARM_UP, window: plan.window };
    load(server, &server.refresh, Kind::Refresh, saturate)
}

fn introspections(side: Side, plan: &Plan, figures: &mut Figures) -> Result<(), Failure> {
    let server = side.start(plan.sessions)?;
    // Warm first: it is the same code, so the cold tokens meet a server that has warmed up to everything but them.
    let few = side.introspection(&server, WARM_TOKENS)?;
    let saturate = Pace::Saturate { warm_up: WARM_UP, window: plan.window };
    figures.introspection_warm = Some(load(&server, &few, Kind::Introspection, saturate)?);
    if plan.wants(&[Name::IntrospectionColdCpuRatio]) {
        let many = side.introspection(&server, COLD_TOKENS.min(plan.sessions / 2))?;
        figures.introspection_cold = Some(load(&server, &many, Kind::Introspection, Pace::Once)?);
    }
    Ok(())
}

/// Has the load, in a process of its own, ask the question.
fn load(server: &Server, question: &Question, kind: Kind, pace: Pace) -> Result<Tally, Failure> {
    let job = Job {
        address: server.address.clone(),
        pid: server.pid(),
        head: question.head.clone(),
        form: question.form.clone(),
        tokens: question.tokens.clone(),
        kind,
        pace,
        access_tokens: None,
        connections: CONNECTIONS,
    };
    ask(&job)
}

/// The same, of a job that is made already.
pub(crate) fn ask(job: &Job) -> Result<Tally, Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("load")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().expect("it was piped").write_all(&serde_json::to_vec(job)?)?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err("the load failed".into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What is measured against the peer that signs its access tokens.
const SIGNED: [Name; 2] = [Name::RefreshSignedRatio, Name::RefreshSignedCpuRatio];
const WARM_TOKENS: usize = 200;
const COLD_TOKENS: usize = 50_000;
/// Long enough for a compiler at run time, which one side has, to have done its work.
pub(crate) const WARM_UP: Duration = Duration::from_secs(3);
/// What a server still does right after its first answer is not rest.
const SETTLE: Duration = Duration::from_secs(1);
