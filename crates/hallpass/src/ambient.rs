//! The variables of other people's programs that hold a credential: what `hallpass exec --clean` takes out of a
//! command's environment. The list is `docs/reference/ambient-credentials.md`, and a test compares the two.
//!
//! What holds a credential goes, and what says where one is to be had from another process or over the network. What
//! only chooses among files (`KUBECONFIG`, `AWS_PROFILE`, `DOCKER_CONFIG`) stays: without it a program takes the file it
//! has for everybody, which is another identity, and nothing was won.

use std::ffi::OsString;

/// Names, and patterns that begin or end with `*`; upper case. In the order of the documentation.
pub(crate) const AMBIENT: &[&str] = &[
    // By what names end in: everybody's.
    "*_TOKEN",
    "*_TOKEN_FILE",
    "*_TOKEN_FD",
    "*_TOKENS",
    "*_API_KEY",
    "*_APIKEY",
    "*_ACCESS_KEY",
    "*_SECRET",
    "*_SECRET_KEY",
    "*_SECRET_KEY_BASE",
    "*_PRIVATE_KEY",
    "*_PASSWORD",
    "*_PASSWD",
    "*_PASSPHRASE",
    "*_PASSPHRASE_FILE",
    "*_CREDENTIALS",
    "*_CREDENTIAL",
    "*_PAT",
    // Names that say nothing of the sort.
    "TOKEN",
    "PASSWORD",
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "ARM_ACCESS_KEY",
    "CIRCLE_OIDC_TOKEN_V2",
    "CLOUDSDK_AUTH_*",
    "DATABASE_URL",
    "DOCKER_AUTH_CONFIG",
    "GIT_ASKPASS",
    "SSH_ASKPASS",
    "SSH_AUTH_SOCK",
    "GPG_AGENT_INFO",
    "HALLPASS_SOCKET",
    "HALLPASS_TOKEN_SOCKET",
    "IDENTITY_HEADER",
    "MYSQL_PWD",
    "NPM_CONFIG_*AUTH*",
    "PGPASSWORD",
    "REDISCLI_AUTH",
    "SPIFFE_ENDPOINT_SOCKET",
    "SUDO_ASKPASS",
    "TF_TOKEN_*",
    "TF_VAR_*TOKEN*",
    "TWINE_USERNAME",
    "UV_INDEX_*",
    "CARGO_REGISTRIES_*TOKEN*",
    "BUNDLE_*",
];

/// Those of these names that hold a credential.
pub(crate) fn found(names: impl Iterator<Item = String>) -> Vec<OsString> {
    names.filter(|name| AMBIENT.iter().any(|pattern| fits(pattern, name))).map(OsString::from).collect()
}

/// Whether a name fits a pattern: `*` stands for anything. Upper and lower case are the same, as they are to programs
/// that look for both.
fn fits(pattern: &str, name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_one_that_is_documented() {
        let page = include_str!("../../../docs/reference/ambient-credentials.md");
        let rows =
            page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name));
        let gone = page.find("## What stays").expect("a part on what stays");
        let documented: Vec<_> =
            rows.filter(|name| page.find(&format!("| `{name}`")).unwrap() < gone).collect();
        assert_eq!(documented, AMBIENT);
    }

    #[test]
    fn what_holds_a_credential_goes_and_what_only_chooses_stays() {
        let gone = [
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ACCESS_KEY_ID",
            "AWS_SESSION_TOKEN",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            "GITHUB_TOKEN",
            "GH_TOKEN",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "CLOUDSDK_AUTH_ACCESS_TOKEN",
            "AZURE_CLIENT_SECRET",
            "AZURE_FEDERATED_TOKEN_FILE",
            "NPM_TOKEN",
            "npm_config__authToken",
            "NPM_CONFIG_//registry.example/:_authToken",
            "VAULT_TOKEN",
            "OPENAI_API_KEY",
            "ANTHROPIC_API_KEY",
            "SSH_AUTH_SOCK",
            "DOCKER_AUTH_CONFIG",
            "HALLPASS_PASSPHRASE_FILE",
            "HALLPASS_TOKEN",
            "TF_TOKEN_app_terraform_io",
            "AZURE_DEVOPS_EXT_PAT",
            "MYSQL_PWD",
            "PGPASSWORD",
        ];
        let stay = [
            "PATH",
            "HOME",
            "AWS_REGION",
            "AWS_PROFILE",
            "AWS_CONFIG_FILE",
            "KUBECONFIG",
            "DOCKER_CONFIG",
            "CLOUDSDK_CONFIG",
            "AZURE_TENANT_ID",
            "NPM_CONFIG_REGISTRY",
            "HALLPASS_ISSUER",
            "LANG",
            "SSH_CONNECTION",
            "TOKENIZERS_PARALLELISM",
            "KEYMAP",
            "COMPAT",
        ];
        let names = gone.iter().chain(&stay).map(|name| (*name).to_owned());
        assert_eq!(found(names), gone);
    }
}
