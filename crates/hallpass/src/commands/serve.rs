//! `hallpass serve`: the issuer, from settings to a stop.

use std::path::PathBuf;

use clap::Args;

use crate::failure::{Exit, Failure};
use crate::logging;
use crate::output::{Form, Output};
use crate::settings::{self, Layers, Settings};

pub(super) mod open;
mod notify;
mod run;
mod setup;

/// Run the issuer
///
/// Settings come from a file, the environment and flags, the last one winning; `--explain` shows each and where it
/// came from. On an empty data folder the first start makes the keys and offers a one-time link for setting up the
/// first org.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass serve
  hallpass serve --listen 0.0.0.0:443 --base-url https://id.example \\
      --tls-cert cert.pem --tls-key key.pem
  hallpass serve --listen 10.0.0.5:8484 --base-url https://id.example --trusted-proxy 10.0.0.1
  hallpass serve --explain")]
pub(crate) struct ServeArgs {
    /// Read settings from this file
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// Show each setting and where it came from, and stop
    #[arg(long)]
    explain: bool,

    /// Keep everything in this folder, which is the server's own
    #[arg(long, value_name = "DIR")]
    data: Option<String>,

    /// Listen here; port 0 is any free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,

    /// Be reached by this URL
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,

    /// Serve TLS with this certificate chain, PEM
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,

    /// Serve TLS with this private key, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,

    /// Believe the forwarded headers of this proxy alone; give it once for each
    ///
    /// Without a certificate and off loopback, nobody but the proxies that are named is spoken with.
    #[arg(long = "trusted-proxy", value_name = "NETWORK")]
    trusted_proxies: Vec<String>,

    /// Fetch keys of outside issuers, and documents of clients, from this network too, though it is not public, such as `10.0.0.0/8`
    ///
    /// Where a GitLab or a cluster of your own is. Everywhere else only public addresses are asked.
    #[arg(long = "outside-network", value_name = "NETWORK")]
    outside_networks: Vec<String>,

    /// Trust these certificates, PEM, of outside issuers and clients, beside the system's
    #[arg(long, value_name = "FILE")]
    outside_ca: Option<String>,

    /// Keep the key-encryption key in this file
    #[arg(long, value_name = "FILE")]
    kek: Option<String>,

    /// Have the key of `--kek` take the place of the key-encryption key in this file
    ///
    /// The one of `--kek` is made, if it is not there. What it encrypts is encrypted anew as the server starts; nothing else changes, and from
    /// the next start on this file is not needed but for backups of before.
    #[arg(long, value_name = "FILE")]
    previous_kek: Option<String>,

    /// Keep the ledger's key in this file
    #[arg(long, value_name = "FILE")]
    ledger_key: Option<String>,

    /// Keep the newest checkpoint of the ledger in this file, outside the database; beside the ledger's key if left out
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<String>,

    /// Make the two key files, if there is no database yet, and end
    ///
    /// For a service that gets its keys handed in and cannot make them itself.
    #[arg(long, conflicts_with = "explain")]
    make_keys: bool,

    /// Answer Prometheus here, at `/metrics`, such as `127.0.0.1:9484`; nowhere if left out
    ///
    /// Plain HTTP, to whoever reaches it. It names no person, client or token, and tells how much goes on.
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<String>,

    /// Let the operator approve logins through the admin socket
    #[arg(long)]
    local_approval: bool,

    /// Write log lines from this level on: `error`, `warn`, `info` or `debug`
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,

    /// Write log lines as `text` or `json`
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl ServeArgs {
    /// What was given, by setting.
    fn flags(&self) -> Vec<(&'static str, Vec<String>)> {
        let one = |key, value: &Option<String>| value.clone().map(|value| (key, vec![value]));
        let mut flags: Vec<_> = [
            one(settings::DATA, &self.data),
            one(settings::LISTEN, &self.listen),
            one(settings::BASE_URL, &self.base_url),
            one(settings::TLS_CERT, &self.tls_cert),
            one(settings::TLS_KEY, &self.tls_key),
            one(settings::OUTSIDE_CA, &self.outside_ca),
            one(settings::KEK, &self.kek),
            one(settings::PREVIOUS_KEK, &self.previous_kek),
            one(settings::LEDGER_KEY, &self.ledger_key),
            one(settings::CHECKPOINT, &self.checkpoint),
            one(settings::METRICS_LISTEN, &self.metrics_listen),
            one(settings::LOG, &self.log),
            one(settings::LOG_FORMAT, &self.log_format),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !self.trusted_proxies.is_empty() {
            flags.push((settings::TRUSTED_PROXIES, self.trusted_proxies.clone()));
        }
        if !self.outside_networks.is_empty() {
            flags.push((settings::OUTSIDE_NETWORKS, self.outside_networks.clone()));
        }
        if self.local_approval {
            flags.push((settings::LOCAL_APPROVAL, vec!["true".to_owned()]));
        }
        flags
    }
}

/// Serves until told to stop.
pub(crate) fn serve(args: ServeArgs, out: &mut Output) -> Result<Exit, Failure> {
    let layers = settings::collect(args.settings.as_deref(), args.flags(), out)?;
    if args.explain {
        return explain(&layers, out);
    }
    let settings = Settings::read(&layers)?;
    logging::start(settings.log, settings.log_format);
    keep_files_and_memory_private();
    if args.make_keys {
        return open::make_keys(&settings, out);
    }
    let store = open::open(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("hallpass")
        .build()
        .map_err(|error| Failure::could_not_run(format_args!("cannot start: {error}")))?;
    let done = runtime.block_on(run::run(&settings, store, out));
    // What still runs was told to stop and had its time.
    runtime.shutdown_timeout(LAST_MOMENT);
    done
}

/// How long tasks that were told to stop may take to notice.
const LAST_MOMENT: std::time::Duration = std::time::Duration::from_millis(500);

/// SECURITY: no file of the server's is anybody else's to read, whatever makes it; no dump of its memory is written.
fn keep_files_and_memory_private() {
    use rustix::process::{Resource, Rlimit, setrlimit, umask};
    umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    // `main` has made the process undumpable already; this holds where a kernel could not.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Shows every setting, then says whether they would do.
fn explain(layers: &Layers, out: &mut Output) -> Result<Exit, Failure> {
    let rows = layers.explain();
    match out.form() {
        Form::Json => out.json("hallpass.settings/1", &serde_json::json!({ "settings": rows }))?,
        Form::Text => {
            let width = |text: fn(&settings::Explained) -> usize| rows.iter().map(text).max().unwrap_or(0);
            let (keys, values) = (width(|row| row.key.len()), width(|row| shown(row).len()));
            for row in &rows {
                out.answer(format_args!("{:keys$}  {:values$}  ({})", row.key, shown(row), row.source))?;
            }
        }
    }
    Settings::read(layers)?;
    Ok(Exit::DONE)
}

fn shown(row: &settings::Explained) -> String {
    if row.value.is_empty() { "-".to_owned() } else { row.value.join(", ") }
}
