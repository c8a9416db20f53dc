//! Every environment variable this program reads, declared in place. Nothing else reads the environment,
//! but for the HTTP client, which reads the proxy variables listed at the end itself.

use std::ffi::OsString;
use std::path::PathBuf;

/// An environment variable that is read somewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does, for the reference.
    pub(crate) about: &'static str,
}

macro_rules! variables {
    ($($(#[doc = $about:literal])+ $name:ident;)*) => {
        $(
            $(#[doc = $about])+
            #[allow(non_upper_case_globals, reason = "some variables of other people's are lower case")]
            pub(crate) const $name: Variable =
                Variable { name: stringify!($name), about: concat!($($about),+) };
        )*

        /// All of them, for the reference.
        pub(crate) const ALL: &[Variable] = &[$($name),*];
    };
}

variables! {
    // The holder.
    /// The issuer to use when none is named.
    HALLPASS_ISSUER;
    /// The client to be, with issuers other than Hallpass.
    HALLPASS_CLIENT_ID;
    /// The trust by which a job comes in, where several let it.
    HALLPASS_TRUST;
    /// What says what a job is: a token of what runs it, for our issuer. GitLab's `id_tokens` set it.
    HALLPASS_ID_TOKEN;
    /// A file with such a token in it, always a good one: a projected token of Kubernetes.
    HALLPASS_ID_TOKEN_FILE;
    /// For whom such a token is asked for, instead of the issuer.
    HALLPASS_ID_TOKEN_AUDIENCE;
    /// Where a job of GitHub Actions asks for such a token.
    ACTIONS_ID_TOKEN_REQUEST_URL;
    /// And its key to that address.
    ACTIONS_ID_TOKEN_REQUEST_TOKEN;
    /// Set in a job of Buildkite, which asks `buildkite-agent` for such a token.
    BUILDKITE_AGENT_ACCESS_TOKEN;
    /// Set in a job of CircleCI, which asks `circleci` for such a token.
    CIRCLE_OIDC_TOKEN_V2;
    /// Such a token of a step of Bitbucket Pipelines.
    BITBUCKET_STEP_OIDC_TOKEN;
    /// The SPIFFE Workload API, which gives such a token.
    SPIFFE_ENDPOINT_SOCKET;
    /// Where an application on Azure asks for such a token.
    IDENTITY_ENDPOINT;
    /// And its key to that address.
    IDENTITY_HEADER;
    /// Set on machines of Azure Arc, where the two above mean something else.
    IMDS_ENDPOINT;
    /// Set in a service of Cloud Run, which asks the metadata service for such a token.
    K_SERVICE;
    /// Set in a job of Cloud Run, likewise.
    CLOUD_RUN_JOB;
    /// The metadata service of Google Cloud, instead of the usual address.
    GCE_METADATA_HOST;
    /// The metadata service of Azure, instead of the usual address.
    AZURE_POD_IDENTITY_AUTHORITY_HOST;
    /// The profile that is meant.
    HALLPASS_PROFILE;
    /// The holder's settings file, instead of `hallpass/config.toml` in the folder of settings.
    HALLPASS_CONFIG;
    /// A file of certificates to trust besides the system's.
    HALLPASS_CA_FILE;
    /// Where records rest, instead of the state folder.
    HALLPASS_STATE_DIR;
    /// Whether the daemon is asked: `auto` (where one runs), `on` (it is started) or `off`.
    HALLPASS_DAEMON;
    /// The daemon's socket, instead of the one in the runtime folder.
    HALLPASS_SOCKET;
    /// The pass socket of a command outside (`exec --as socket`): `token` and `exec` ask there and nowhere else.
    HALLPASS_TOKEN_SOCKET;
    /// Where the keys of new sign-ins rest: `secret-service`, `keyring`, `tpm`, `passphrase`, ...
    HALLPASS_STORE;
    /// The TPM, a device or a Unix socket, instead of `/dev/tpmrm0`.
    HALLPASS_TPM;
    /// A file with the passphrase of the records, where nobody is there to type it.
    HALLPASS_PASSPHRASE_FILE;
    /// The program that opens addresses, instead of `BROWSER` and the desktop's own; `none` for none.
    HALLPASS_BROWSER;
    /// Whose machine this is, instead of what is found: `own`, `shared` or `build-agent`.
    HALLPASS_HOST;
    /// Set to anything: never ask.
    HALLPASS_NO_INPUT;

    // The server; each is a setting of `hallpass serve`.
    /// The server's settings file.
    HALLPASS_SETTINGS;
    /// The server's data folder.
    HALLPASS_DATA;
    /// The address and port the server listens on.
    HALLPASS_LISTEN;
    /// The address and port the server answers Prometheus on.
    HALLPASS_METRICS_LISTEN;
    /// The URL the server is reached by.
    HALLPASS_BASE_URL;
    /// The server's TLS certificate chain.
    HALLPASS_TLS_CERT;
    /// The server's TLS private key.
    HALLPASS_TLS_KEY;
    /// The networks whose forwarded headers the server believes, with commas between them.
    HALLPASS_TRUSTED_PROXIES;
    /// The networks that are not public and from which the server may fetch keys of outside issuers, with commas between them.
    HALLPASS_OUTSIDE_NETWORKS;
    /// The certificates that outside issuers may show the server beside those the system trusts.
    HALLPASS_OUTSIDE_CA;
    /// The file of the server's key-encryption key.
    HALLPASS_KEK;
    /// The file of the key-encryption key before it, while the newer takes its place.
    HALLPASS_PREVIOUS_KEK;
    /// The file of the server's ledger key.
    HALLPASS_LEDGER_KEY;
    /// The file of the ledger's newest checkpoint.
    HALLPASS_CHECKPOINT;
    /// Where systemd puts a service's credentials (systemd.exec(5)).
    CREDENTIALS_DIRECTORY;
    /// Where systemd wants to hear that a service is ready (sd_notify(3)).
    NOTIFY_SOCKET;
    /// `true` lets the operator approve logins through the admin socket.
    HALLPASS_LOCAL_APPROVAL;
    /// The least important log lines the server writes.
    HALLPASS_LOG;
    /// How the server writes log lines: `text` or `json`.
    HALLPASS_LOG_FORMAT;

    // Other people's.
    /// A file of certificates to trust in place of the system's, as OpenSSL has it.
    SSL_CERT_FILE;
    /// Folders of certificates to trust in place of the system's, with colons between them, as OpenSSL has it.
    SSL_CERT_DIR;
    /// The program that opens addresses.
    BROWSER;
    /// The person's home folder.
    HOME;
    /// The folders in which commands are looked up.
    PATH;
    /// The state folder, instead of `~/.local/state` (XDG Base Directory).
    XDG_STATE_HOME;
    /// The folder of what programs keep, instead of `~/.local/share` (XDG Base Directory).
    XDG_DATA_HOME;
    /// The folder of settings, instead of `~/.config` (XDG Base Directory).
    XDG_CONFIG_HOME;
    /// The folder of what can be made again, instead of `~/.cache` (XDG Base Directory).
    XDG_CACHE_HOME;
    /// The folder of sockets, where a session bus may be (XDG Base Directory).
    XDG_RUNTIME_DIR;
    /// Where the person's session bus is (D-Bus); none is ever started.
    DBUS_SESSION_BUS_ADDRESS;
    /// Set to anything: no colour (no-color.org).
    NO_COLOR;
    /// The kind of terminal; `dumb` has no colour and cannot redraw.
    TERM;

    // Where other programs keep their configuration, for `hallpass setup`.
    /// git's own configuration of this person.
    GIT_CONFIG_GLOBAL;
    /// The configuration of AWS programs.
    AWS_CONFIG_FILE;

    // Where other tools keep their tokens, for `hallpass doctor` and copies of ours.
    /// Where `gh` keeps its settings.
    GH_CONFIG_DIR;
    /// Where `gcloud` keeps its settings.
    CLOUDSDK_CONFIG;
    /// The keys of `aws`.
    AWS_SHARED_CREDENTIALS_FILE;
    /// Where `az` keeps its settings.
    AZURE_CONFIG_DIR;
    /// Where `docker` keeps its settings.
    DOCKER_CONFIG;
    /// The registry logins of podman, buildah and skopeo.
    REGISTRY_AUTH_FILE;
    /// The settings of `npm`.
    NPM_CONFIG_USERCONFIG;
    /// The settings of `pip`.
    PIP_CONFIG_FILE;
    /// Where `cargo` keeps its credentials.
    CARGO_HOME;
    /// The settings of `kubectl`, several with colons between them.
    KUBECONFIG;
    /// The logins of `curl` and others.
    NETRC;
    /// The settings of `terraform`.
    TF_CLI_CONFIG_FILE;
    /// The registry logins of `helm`.
    HELM_REGISTRY_CONFIG;
    /// The repositories of `helm`.
    HELM_REPOSITORY_CONFIG;
    /// Where Hugging Face's tools keep their token.
    HF_HOME;
    /// Where Claude Code keeps its settings.
    CLAUDE_CONFIG_DIR;
    /// Where Codex keeps its settings.
    CODEX_HOME;
    /// The settings of `databricks`.
    DATABRICKS_CONFIG_FILE;

    // What programs say that ask a helper.
    /// What a client of Kubernetes asks `hallpass helper kubectl`.
    KUBERNETES_EXEC_INFO;
    /// For which workload identity pool Google's libraries ask `hallpass helper gcp`.
    GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE;
    /// Which kind of token they ask for.
    GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE;
    /// The service account that they will take on.
    GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL;
    /// `1` where they want something revoked.
    GOOGLE_EXTERNAL_ACCOUNT_REVOKE;
    /// Set by `hallpass helper pip` for the `keyring` that it passes a question on to.
    HALLPASS_KEYRING_PASSED_ON;

    // What tells where the person sits.
    /// Someone came in over SSH.
    SSH_CONNECTION;
    /// Someone came in over SSH.
    SSH_CLIENT;
    /// Someone came in over SSH, with a terminal.
    SSH_TTY;
    /// An X11 desktop.
    DISPLAY;
    /// A Wayland desktop.
    WAYLAND_DISPLAY;
    /// A tmux, and by which socket it is asked who is attached.
    TMUX;
    /// The pane of it.
    TMUX_PANE;
    /// A continuous-integration job.
    CI;
    /// A GitHub Codespace.
    CODESPACES;
    /// A Google Cloud Shell.
    CLOUD_SHELL;
    /// The Windows Subsystem for Linux.
    WSL_DISTRO_NAME;
    /// The way from WSL to Windows programs.
    WSL_INTEROP;
    /// A terminal inside VS Code.
    VSCODE_IPC_HOOK_CLI;
    /// A VS Code dev container.
    REMOTE_CONTAINERS;
    /// A container, as systemd and podman say.
    container;
    /// A Kubernetes pod.
    KUBERNETES_SERVICE_HOST;

    // What tells that others are the same user here.
    /// The user who became this one.
    SUDO_USER;
    /// The user who became this one.
    DOAS_USER;
    /// A Jenkins job.
    JENKINS_URL;
    /// A GitLab job.
    GITLAB_CI;
    /// A Buildkite job.
    BUILDKITE;
    /// A GitHub Actions job.
    GITHUB_ACTIONS;
    /// Whose machine runs a GitHub Actions job.
    RUNNER_ENVIRONMENT;
    /// A TeamCity job.
    TEAMCITY_VERSION;
    /// An Azure Pipelines job.
    TF_BUILD;
    /// The machine that runs an Azure Pipelines job.
    AGENT_NAME;
    /// A Bamboo job.
    bamboo_buildKey;
    /// A GoCD job.
    GO_PIPELINE_NAME;
    /// A Drone job.
    DRONE;
    /// A job of Bitbucket Pipelines.
    BITBUCKET_BUILD_NUMBER;
    /// The number of a job, as several build systems have it.
    BUILD_NUMBER;

    // Read by the HTTP client.
    /// The proxy for `https` addresses.
    HTTPS_PROXY;
    /// The proxy for `http` addresses (lower case only: CGI lets strangers set the other).
    http_proxy;
    /// The proxy for all addresses.
    ALL_PROXY;
    /// Where no proxy is used.
    NO_PROXY;
}

impl Variable {
    /// Its value; none where it is unset or empty.
    pub(crate) fn value(self) -> Option<OsString> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        std::env::var_os(self.name).filter(|value| !value.is_empty())
    }

    /// Its value as text; none where it is unset, empty or not UTF-8.
    pub(crate) fn text(self) -> Option<String> {
        self.value().and_then(|value| value.into_string().ok())
    }

    /// Its value as a path; none where it is unset or empty.
    pub(crate) fn path(self) -> Option<PathBuf> {
        self.value().map(PathBuf::from)
    }

    /// Whether it is set to anything but the empty text.
    pub(crate) fn is_set(self) -> bool {
        self.value().is_some()
    }
}

/// The files that these variables name: certificates that the person's programs trust (`exec --as proxy` hands them on).
pub(crate) fn files_named_by(names: &[&str]) -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let mut files: Vec<_> = names.iter().filter_map(std::env::var_os).map(PathBuf::from).collect();
    files.retain(|file| file.is_file());
    files.dedup();
    files
}

/// The names of everything that is set, for finding the misspelt.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn names() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_says_what_it_does_and_stands_once() {
        let mut names: Vec<_> = ALL.iter().map(|v| v.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|v| !v.about.trim().is_empty()));
    }
}
