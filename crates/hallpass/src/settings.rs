//! The server's settings: every one, with its place in the file, its variable, its flag and its default.
//!
//! 1. Each setting is a row of [`TABLE`].
//! 2. [`Layers::collect`] takes what was written: defaults, then the file, then the environment, then flags. The
//!    last one wins, and each value remembers where it came from.
//! 3. [`Settings::read`] turns the text into types. A value that does not fit is named with its place.
//! 4. An unknown key in the file is an error that names the nearest known one: a misspelt limit must not be none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hallpass_issuer::{BadBaseUrl, BaseUrl, Network};

use crate::env::{self, Variable};
use crate::failure::Failure;
use crate::output::Output;

mod file;
mod layers;
mod places;

use hallpass_model::nearest::nearest;
use layers::Surroundings;
pub(crate) use layers::{Explained, Layers, Source};

/// One setting: what it is called everywhere.
pub(crate) struct Setting {
    /// Its key in the `[server]` table of the file.
    pub(crate) key: &'static str,
    /// Its environment variable.
    pub(crate) variable: Variable,
    /// Its flag of `hallpass serve`.
    pub(crate) flag: &'static str,
    /// What it means, for the manual and `--explain`.
    pub(crate) meaning: &'static str,
}

macro_rules! settings {
    ($($name:ident: $key:literal, $variable:ident, $flag:literal, $meaning:literal;)*) => {
        $(pub(crate) const $name: &str = $key;)*
        /// Every setting.
        pub(crate) const TABLE: &[Setting] =
            &[$(Setting { key: $key, variable: env::$variable, flag: $flag, meaning: $meaning },)*];
    };
}

settings! {
    DATA: "data", HALLPASS_DATA, "--data", "the data folder";
    LISTEN: "listen", HALLPASS_LISTEN, "--listen", "the address and port to listen on";
    BASE_URL: "base_url", HALLPASS_BASE_URL, "--base-url", "the URL that people and programs reach it by";
    TLS_CERT: "tls_cert", HALLPASS_TLS_CERT, "--tls-cert", "the TLS certificate chain, PEM";
    TLS_KEY: "tls_key", HALLPASS_TLS_KEY, "--tls-key", "the TLS private key, PEM";
    TRUSTED_PROXIES: "trusted_proxies", HALLPASS_TRUSTED_PROXIES, "--trusted-proxy",
        "the networks whose forwarded headers are believed";
    OUTSIDE_NETWORKS: "outside_networks", HALLPASS_OUTSIDE_NETWORKS, "--outside-network",
        "the networks that are not public and from which keys of outside issuers may be fetched";
    OUTSIDE_CA: "outside_ca", HALLPASS_OUTSIDE_CA, "--outside-ca",
        "the certificates, PEM, that outside issuers may show beside those the system trusts";
    KEK: "kek", HALLPASS_KEK, "--kek", "the file of the key that the database's keys are encrypted under";
    PREVIOUS_KEK: "previous_kek", HALLPASS_PREVIOUS_KEK, "--previous-kek",
        "the file of the key that the one of `kek` takes the place of";
    LEDGER_KEY: "ledger_key", HALLPASS_LEDGER_KEY, "--ledger-key", "the file of the key that signs the ledger";
    CHECKPOINT: "checkpoint", HALLPASS_CHECKPOINT, "--checkpoint",
        "the file that the newest checkpoint of the ledger is kept in, outside the database";
    METRICS_LISTEN: "metrics_listen", HALLPASS_METRICS_LISTEN, "--metrics-listen",
        "the address and port to answer Prometheus on";
    LOCAL_APPROVAL: "local_approval", HALLPASS_LOCAL_APPROVAL, "--local-approval",
        "whether the operator may approve logins through the admin socket";
    LOG: "log", HALLPASS_LOG, "--log", "the least important log lines to write";
    LOG_FORMAT: "log_format", HALLPASS_LOG_FORMAT, "--log-format", "how log lines are written";
}

/// Where the server listens unless told otherwise: this machine only.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8484);

/// The server's settings, as types.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// The data folder, absolute.
    pub(crate) data: PathBuf,
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// The URL it is reached by: no path, no query. `None`: `http://localhost:PORT`, once the port is known.
    pub(crate) base_url: Option<BaseUrl>,
    /// Certificate chain and private key.
    pub(crate) tls: Option<TlsFiles>,
    /// Whose forwarded headers are believed.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Networks that are not public and from which keys of outside issuers may be fetched.
    pub(crate) outside_networks: Vec<Network>,
    /// The certificates that outside issuers may show beside those the system trusts.
    pub(crate) outside_ca: Option<PathBuf>,
    /// The key-encryption key's file.
    pub(crate) kek: KeyPlace,
    /// The file of the key that the key-encryption key takes the place of, while it does.
    pub(crate) previous_kek: Option<PathBuf>,
    /// The ledger key's file.
    pub(crate) ledger_key: KeyPlace,
    /// The newest checkpoint's file, if it is not beside the ledger key's.
    pub(crate) checkpoint: Option<PathBuf>,
    /// Where Prometheus is answered, if it is.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Whether the admin socket may approve logins.
    pub(crate) local_approval: bool,
    /// The least important log lines to write.
    pub(crate) log: LogLevel,
    /// How they are written.
    pub(crate) log_format: LogFormat,
}

/// Where a key file is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeyPlace {
    /// The file.
    pub(crate) path: PathBuf,
    /// Whether it is the default place, `{data}/keys`, whose folder is made when missing.
    pub(crate) in_data: bool,
}

/// The two files of TLS.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TlsFiles {
    /// The certificate chain.
    pub(crate) cert: PathBuf,
    /// The private key.
    pub(crate) key: PathBuf,
}

/// The least important log lines that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogLevel {
    /// Only what needs somebody.
    Error,
    /// And what is odd.
    Warn,
    /// And each request.
    Info,
    /// And how it came about.
    Debug,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A setting that cannot be used: what is wrong, where it was written, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct BadSetting {
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl BadSetting {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<BadSetting> for Failure {
    fn from(bad: BadSetting) -> Self {
        let failure = Failure::usage(bad.message);
        match bad.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Collects the server's settings as this process finds them. `named` is the settings file if one was given.
pub(crate) fn collect(
    named: Option<&Path>,
    flags: Vec<(&'static str, Vec<String>)>,
    out: &mut Output,
) -> Result<Layers, Failure> {
    for (set, near) in misspelt_variables() {
        out.warn(format_args!("`{set}` is set, and no setting is called so; did you mean `{near}`?"));
    }
    layers(named, flags)
}

/// The data folder that a command was told of, or that the server's own settings name.
pub(crate) fn data_folder(settings: Option<&Path>, data: Option<&Path>) -> Result<PathBuf, Failure> {
    Ok(layers(settings, data_flag(data)?)?.path(DATA)?)
}

/// The settings of the server that a command was told of.
pub(crate) fn of(settings: Option<&Path>, data: Option<&Path>) -> Result<Settings, Failure> {
    Ok(Settings::read(&layers(settings, data_flag(data)?)?)?)
}

fn data_flag(data: Option<&Path>) -> Result<Vec<(&'static str, Vec<String>)>, Failure> {
    let Some(data) = data else { return Ok(Vec::new()) };
    let text =
        data.to_str().ok_or_else(|| Failure::usage(format_args!("`{}` is not UTF-8", data.display())))?;
    Ok(vec![(DATA, vec![text.to_owned()])])
}

fn layers(named: Option<&Path>, flags: Vec<(&'static str, Vec<String>)>) -> Result<Layers, Failure> {
    let folder = std::env::current_dir().map_err(|error| {
        Failure::could_not_run(format_args!("the current folder cannot be known: {error}"))
    })?;
    let around = Surroundings { folder: &folder, data: places::data(), variable: &Variable::text };
    let file = match named.map(Path::to_owned).or_else(|| env::HALLPASS_SETTINGS.path()) {
        Some(named) => Some(named),
        None => places::settings().into_iter().find(|place| place.exists()),
    };
    Ok(Layers::collect(&around, file.as_deref(), flags)?)
}

/// Variables that look like settings and are none: a limit that was misspelt must not silently be none.
fn misspelt_variables() -> Vec<(String, &'static str)> {
    let known: Vec<&str> = env::ALL.iter().map(|variable| variable.name).collect();
    env::names()
        .filter(|name| name.starts_with("HALLPASS_") && !known.contains(&name.as_str()))
        .filter_map(|name| nearest(&name, known.iter().copied()).map(|near| (name, near)))
        .collect()
}

impl Settings {
    /// Reads every setting out of the layers and checks that they agree with each other.
    pub(crate) fn read(layers: &Layers) -> Result<Self, BadSetting> {
        let data = layers.path(DATA)?;
        let settings = Self {
            listen: layers.one(LISTEN, or("it must be an address and port such as `127.0.0.1:8484`"))?,
            base_url: layers
                .maybe(BASE_URL, |text| text.parse().map_err(|bad: BadBaseUrl| bad.to_string()))?,
            tls: tls(layers)?,
            trusted_proxies: layers
                .list(TRUSTED_PROXIES, or("it must be an address or a network such as `10.0.0.0/8`"))?,
            outside_networks: layers
                .list(OUTSIDE_NETWORKS, or("it must be an address or a network such as `10.0.0.0/8`"))?,
            outside_ca: layers.maybe_path(OUTSIDE_CA)?,
            kek: key_place(layers, KEK, &data)?,
            previous_kek: layers.maybe_path(PREVIOUS_KEK)?,
            ledger_key: key_place(layers, LEDGER_KEY, &data)?,
            checkpoint: layers.maybe_path(CHECKPOINT)?,
            metrics_listen: layers
                .maybe(METRICS_LISTEN, or("it must be an address and port such as `127.0.0.1:9484`"))?,
            local_approval: layers.one(LOCAL_APPROVAL, or("it must be `true` or `false`"))?,
            log: layers.one(LOG, or("it must be `error`, `warn`, `info` or `debug`"))?,
            log_format: layers.one(LOG_FORMAT, or("it must be `text` or `json`"))?,
            data,
        };
        settings.agree()?;
        Ok(settings)
    }

    /// Tokens must not cross a network in the clear, and people must be able to reach what we tell them.
    fn agree(&self) -> Result<(), BadSetting> {
        let loopback = self.listen.ip().is_loopback();
        if !loopback && self.tls.is_none() && self.trusted_proxies.is_empty() {
            let message = format!(
                "will not serve plain HTTP on `{}`: whoever is on that network could read tokens",
                self.listen
            );
            return Err(BadSetting::new(message).hint(
                "give `--tls-cert` and `--tls-key`, name the proxy in front with `--trusted-proxy`, or listen on `127.0.0.1`",
            ));
        }
        let Some(base) = &self.base_url else {
            if loopback && self.tls.is_none() {
                return Ok(());
            }
            return Err(BadSetting::new(
                "`base_url` is missing: only a server on loopback knows its own URL",
            )
            .hint("give `--base-url https://id.example`, the URL that people will use"));
        };
        let shown = base.origin();
        if !base.is_https() && (self.tls.is_some() || !loopback) {
            return Err(BadSetting::new(format!("`base_url` is `{shown}`, but it is reached over https"))
                .hint("write it with https"));
        }
        if base.is_https() && self.tls.is_none() && self.trusted_proxies.is_empty() {
            return Err(BadSetting::new(format!("`base_url` is `{shown}`, but nothing here speaks TLS"))
                .hint(
                    "give `--tls-cert` and `--tls-key`, or name the proxy in front with `--trusted-proxy`",
                ));
        }
        Ok(())
    }
}

/// Reads what a type reads itself, or says what it must be.
fn or<T: FromStr>(wanted: &str) -> impl Fn(&str) -> Result<T, String> {
    move |text| text.parse().map_err(|_| wanted.to_owned())
}

impl FromStr for LogLevel {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            _ => return Err(()),
        })
    }
}

impl FromStr for LogFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "text" => Self::Text,
            "json" => Self::Json,
            _ => return Err(()),
        })
    }
}

fn tls(layers: &Layers) -> Result<Option<TlsFiles>, BadSetting> {
    match (layers.maybe_path(TLS_CERT)?, layers.maybe_path(TLS_KEY)?) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        (cert, _) => {
            let missing = if cert.is_some() { TLS_KEY } else { TLS_CERT };
            Err(BadSetting::new(format!("`{missing}` is missing: a certificate and its key come together")))
        }
    }
}

fn key_place(layers: &Layers, key: &'static str, data: &Path) -> Result<KeyPlace, BadSetting> {
    Ok(match layers.maybe_path(key)? {
        Some(path) => KeyPlace { path, in_data: false },
        None => KeyPlace { path: data.join(KEYS_FOLDER).join(default_key_file(key)), in_data: true },
    })
}

/// The folder of keys in the data folder, 0700 as that is.
pub(crate) const KEYS_FOLDER: &str = "keys";

fn default_key_file(key: &str) -> &'static str {
    if key == KEK { "kek" } else { "ledger" }
}

#[cfg(test)]
mod tests;
