//! `ExecCredential`, by which kubectl and every other client of Kubernetes run a plugin (client.authentication.k8s.io).
//!
//! With `provideClusterInfo` it is the one protocol that says exactly where the token will be sent; without it nothing is
//! handed out, since any cluster of the kubeconfig could be meant.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Handed, Malformed, Place, QUESTION_LEN_MAX};

/// The variable the question stands in.
pub const VARIABLE: &str = "KUBERNETES_EXEC_INFO";

/// What the client asks.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    version: Version,
    /// The address of the cluster.
    pub server: Place,
    /// The issuer that the kubeconfig says is meant: member `issuer` of the cluster extension named
    /// `client.authentication.k8s.io/exec`.
    pub issuer: Option<String>,
}

/// The version the kubeconfig asked for: the answer must be of the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V1Beta1,
}

impl Version {
    fn text(self) -> &'static str {
        match self {
            Version::V1 => "client.authentication.k8s.io/v1",
            Version::V1Beta1 => "client.authentication.k8s.io/v1beta1",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    api_version: String,
    kind: String,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize, Default)]
struct Spec {
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    config: Option<Config>,
}

#[derive(Deserialize)]
struct Config {
    issuer: Option<String>,
}

impl Question {
    /// Reads what stands in [`VARIABLE`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > QUESTION_LEN_MAX {
            return Err(Malformed("KUBERNETES_EXEC_INFO is too long"));
        }
        let asked: Asked =
            serde_json::from_slice(bytes).map_err(|_| Malformed("KUBERNETES_EXEC_INFO cannot be read"))?;
        let version = [Version::V1, Version::V1Beta1].into_iter().find(|v| v.text() == asked.api_version);
        let version =
            version.ok_or(Malformed("the kubeconfig asks for an apiVersion that is not spoken here"))?;
        if asked.kind != "ExecCredential" {
            return Err(Malformed("KUBERNETES_EXEC_INFO is of another kind"));
        }
        let cluster = asked
            .spec
            .cluster
            .ok_or(Malformed("the kubeconfig does not say which cluster: set `provideClusterInfo: true`"))?;
        if cluster.insecure_skip_tls_verify {
            return Err(Malformed(
                "the cluster's certificate would not be verified (`insecure-skip-tls-verify`)",
            ));
        }
        let server = cluster.server.parse().map_err(|_| Malformed("the cluster's address is not plain"))?;
        Ok(Self { version, server, issuer: cluster.config.and_then(|config| config.issuer) })
    }

    /// What the client reads.
    pub fn answer(&self, handed: &Handed<'_>) -> Option<Zeroizing<Vec<u8>>> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer<'a> {
            api_version: &'static str,
            kind: &'static str,
            status: Status<'a>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Status<'a> {
            token: &'a str,
            expiration_timestamp: String,
        }
        let token = handed.line()?;
        let status = Status { token, expiration_timestamp: handed.expires.to_string() };
        let answer = Answer { api_version: self.version.text(), kind: "ExecCredential", status };
        let mut bytes = Zeroizing::new(Vec::with_capacity(token.len() + 512));
        serde_json::to_writer(&mut *bytes, &answer).expect("texts are JSON");
        bytes.push(b'\n');
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use hallpass_model::secret::{AccessToken, Secret};
    use hallpass_model::time::Timestamp;

    use super::*;

    fn asked(version: &str, cluster: &str) -> String {
        format!(
            r#"{{"apiVersion":"client.authentication.k8s.io/{version}","kind":"ExecCredential","spec":{{"interactive":true,"cluster":{cluster}}}}}"#
        )
    }

    #[test]
    fn the_answer_is_of_the_version_that_was_asked_for_and_says_when_it_is_over() {
        let token: Secret<AccessToken> = Secret::from_text("t0ken".into());
        let handed = Handed { token: &token, username: "x", expires: Timestamp::from_seconds(1_700_000_000) };
        for version in ["v1", "v1beta1"] {
            let text = asked(
                version,
                r#"{"server":"https://k8s.example:6443","certificate-authority-data":"eA=="}"#,
            );
            let question = Question::parse(text.as_bytes()).unwrap();
            assert_eq!(question.server.to_string(), "https://k8s.example:6443");
            assert_eq!(
                String::from_utf8(question.answer(&handed).unwrap().to_vec()).unwrap(),
                format!(
                    "{{\"apiVersion\":\"client.authentication.k8s.io/{version}\",\"kind\":\"ExecCredential\",\
                     \"status\":{{\"token\":\"t0ken\",\"expirationTimestamp\":\"2023-11-14T22:13:20Z\"}}}}\n"
                )
            );
        }
    }

    #[test]
    fn a_question_that_does_not_say_where_the_token_goes_is_refused() {
        let server = r#"{"server":"https://k8s.example"}"#;
        for (bad, why) in [
            (asked("v1", "null"), "provideClusterInfo"),
            (asked("v1alpha1", server), "apiVersion"),
            (
                asked("v1", r#"{"server":"https://k8s.example","insecure-skip-tls-verify":true}"#),
                "certificate",
            ),
            (asked("v1", r#"{"server":"https://K8S.example"}"#), "address"),
            (asked("v1", r#"{"server":"k8s.example"}"#), "address"),
            (asked("v1", server).replace("ExecCredential", "Pod"), "kind"),
            (String::new(), "cannot be read"),
            ("{".into(), "cannot be read"),
            (" ".repeat(QUESTION_LEN_MAX + 1), "too long"),
        ] {
            let refused = Question::parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn the_issuer_that_the_kubeconfig_means_is_read() {
        let cluster =
            r#"{"server":"https://k8s.example","config":{"issuer":"https://id.example/acme","x":1}}"#;
        let question = Question::parse(asked("v1", cluster).as_bytes()).unwrap();
        assert_eq!(question.issuer.as_deref(), Some("https://id.example/acme"));
    }
}
