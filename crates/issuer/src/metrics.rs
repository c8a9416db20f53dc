//! What the server counts of itself, for Prometheus (text exposition format 0.0.4). Nothing here names anybody: no person, client,
//! token or address, and each label is one of a fixed set of words.
//!
//! It is answered on a listener of its own, never beside the endpoints: whoever may log in here need not know how much others do.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::GrantType;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Issuer;
use crate::error::OAuthError;
use crate::limits::RUNS_MAX;

/// The upper ends of the buckets that durations are counted in, in microseconds: from an answer out of memory to one that waited.
const BUCKETS_US: [u64; 9] = [500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 1_000_000, 10_000_000];

/// The counters.
pub(crate) struct Metrics {
    started: Timestamp,
    /// By path, and then by method.
    routes: HashMap<&'static str, Vec<(Method, Counted)>>,
    /// What was no endpoint's.
    none: Counted,
    /// By grant type, and `issued` or the error's code. Both are words of ours: few, and none made up by whoever asks.
    grants: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

/// The requests of one endpoint.
#[derive(Default)]
struct Counted {
    /// By the first digit of the status, 1 to 5.
    by_class: [AtomicU64; 5],
    buckets: [AtomicU64; BUCKETS_US.len()],
    sum_us: AtomicU64,
}

impl Counted {
    fn count(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.by_class[class].fetch_add(1, Ordering::Relaxed);
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(took, Ordering::Relaxed);
        if let Some(at) = BUCKETS_US.iter().position(|end| took <= *end) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn all(&self) -> u64 {
        self.by_class.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl Metrics {
    pub(crate) fn new(started: Timestamp) -> Self {
        let mut routes: HashMap<_, Vec<_>> = HashMap::new();
        for endpoint in crate::routes::endpoints() {
            routes.entry(endpoint.path).or_default().push((endpoint.method, Counted::default()));
        }
        Self { started, routes, none: Counted::default(), grants: Mutex::default() }
    }

    /// Counts a request that was answered. `route` is the endpoint's own path, with `{org}` in it.
    pub(crate) fn answered(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        let methods = route.and_then(|route| self.routes.get(route));
        let known = methods.and_then(|methods| methods.iter().find(|(known, _)| known == method));
        known.map_or(&self.none, |(_, counted)| counted).count(status, took);
    }

    /// Counts what came of a request at the token endpoint.
    pub(crate) fn grant(&self, grant_type: &GrantType, refused: Option<&OAuthError>) {
        let grant_type = match grant_type {
            GrantType::AuthorizationCode => "authorization_code",
            GrantType::DeviceCode => "device_code",
            GrantType::RefreshToken => "refresh_token",
            GrantType::ClientCredentials => "client_credentials",
            GrantType::TokenExchange => "token_exchange",
            GrantType::JwtBearer => "jwt_bearer",
            GrantType::Unknown(_) => "other",
        };
        let outcome = refused.map_or("issued", OAuthError::code_word);
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        *grants.entry((grant_type, outcome)).or_default() += 1;
    }
}

impl Issuer {
    /// All of it, as Prometheus reads it.
    pub async fn metrics(&self) -> String {
        let mut out = Text::default();
        let (version, started) = (env!("CARGO_PKG_VERSION"), self.metrics.started);
        out.family("hallpass_build_info", "gauge", "Which version runs.");
        out.sample("hallpass_build_info", &[("version", version)], 1);
        out.family(
            "process_start_time_seconds",
            "gauge",
            "When the server started, in seconds since 1970 UTC.",
        );
        out.sample("process_start_time_seconds", &[], started.seconds());
        if let Some(resident) = resident() {
            out.family("process_resident_memory_bytes", "gauge", "Memory in use.");
            out.sample("process_resident_memory_bytes", &[], resident);
        }
        self.requests(&mut out);
        out.family(
            "hallpass_grants_total",
            "counter",
            "Requests at the token endpoint, by what came of them.",
        );
        let grants = self.metrics.grants.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((grant_type, outcome), count) in grants {
            out.sample("hallpass_grants_total", &[("grant_type", grant_type), ("outcome", outcome)], count);
        }
        out.family(
            "hallpass_strangers_refused_total",
            "counter",
            "Refusals that were about nobody known, and so stand in no ledger.",
        );
        for (rule, count) in self.store.strangers() {
            out.sample("hallpass_strangers_refused_total", &[("rule", rule)], count);
        }
        out.family("hallpass_runs_connected", "gauge", "Commands whose connection is open.");
        out.sample("hallpass_runs_connected", &[], RUNS_MAX - self.runs.free());
        out.family("hallpass_session_streams", "gauge", "Holders that listen for their session's end.");
        out.sample("hallpass_session_streams", &[], self.watchers());
        out.family("hallpass_device_polls_held", "gauge", "Device logins whose poll is held open.");
        out.sample("hallpass_device_polls_held", &[], self.held_polls());
        // Where the store cannot say, that is no number: the sample is missing, which an alert can be about.
        if let Ok(entries) = self.store.ledger_size().await {
            out.family("hallpass_ledger_entries", "counter", "Entries in the ledger.");
            out.sample("hallpass_ledger_entries", &[], entries);
        }
        out.0
    }

    fn requests(&self, out: &mut Text) {
        let metrics = &self.metrics;
        let mut routes: Vec<(&str, &str, &Counted)> = Vec::new();
        for (path, methods) in &metrics.routes {
            routes.extend(methods.iter().map(|(method, counted)| (*path, method.as_str(), counted)));
        }
        routes.push(("none", "any", &metrics.none));
        routes.retain(|(_, _, counted)| counted.all() > 0);
        routes.sort_unstable_by_key(|(path, method, _)| (*path, *method));
        let name = "hallpass_http_requests_total";
        out.family(
            name,
            "counter",
            "Requests that were answered, by endpoint and by the first digit of the status.",
        );
        for (path, method, counted) in &routes {
            for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(&counted.by_class) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    out.sample(name, &[("route", path), ("method", method), ("status", class)], count);
                }
            }
        }
        let name = "hallpass_http_request_duration_seconds";
        out.family(name, "histogram", "How long answers took, until their first byte.");
        for (path, method, counted) in &routes {
            let labels = [("route", *path), ("method", *method)];
            let mut upto = 0;
            for (end, bucket) in BUCKETS_US.iter().zip(&counted.buckets) {
                upto += bucket.load(Ordering::Relaxed);
                let end = (*end as f64 / 1_000_000.0).to_string();
                out.sample(&format!("{name}_bucket"), &[&labels[..], &[("le", &end)]].concat(), upto);
            }
            // What is counted meanwhile is in the total first, so no bucket is above it.
            let all = counted.all().max(upto);
            out.sample(&format!("{name}_bucket"), &[&labels[..], &[("le", "+Inf")]].concat(), all);
            let sum = counted.sum_us.load(Ordering::Relaxed) as f64 / 1_000_000.0;
            out.sample(&format!("{name}_sum"), &labels, sum);
            out.sample(&format!("{name}_count"), &labels, all);
        }
    }
}

/// The exposition, as it grows.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}")
            .expect("writing to a string cannot fail");
    }

    /// Labels are words and paths of ours: nothing in them needs an escape.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(label, text)| format!("{label}=\"{text}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(self.0, "{name}{labels} {value}").expect("writing to a string cannot fail");
    }
}

/// What the system says this process has in memory, in bytes (proc(5)).
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Answers `GET /metrics` until `stop` says true, and nothing else.
pub async fn serve_metrics(issuer: Issuer, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let router = Router::new().route("/metrics", get(show)).with_state(issuer);
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    // It ends when it is told to, and a listener that fails is tried again by itself.
    let _ = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
}

async fn show(State(issuer): State<Issuer>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], issuer.metrics().await).into_response()
}
