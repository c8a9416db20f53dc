//! What a lost answer and a stolen refresh token come to: a client of its own, by raw HTTP, against any Hallpass issuer.
//!
//! 1. It logs in by the device flow with a key of its own (DPoP), so it has a session to lose.
//! 2. It refreshes, and throws the answer away, as a crash would. It asks again with the same token.
//! 3. It uses the successor. The first token is now spent for good.
//! 4. A thief has a copy of the newest token, and another key.

use std::process::{Command, Stdio};

use clap::Parser;
use hallpass_model::jose::SigningKey;
use hallpass_model::random::SystemEntropy;
use hallpass_model::secret::{RefreshToken, Secret};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::dpop::{Request, proof};
use hallpass_model::wire::metadata::{IssuerMetadata, rfc8414_url};
use hallpass_model::wire::oauth::{DeviceAuthorization, TokenResponse};

/// Shows what a lost answer and a stolen refresh token come to
#[derive(Parser)]
struct Args {
    /// The issuer
    #[arg(long)]
    issuer: String,
    /// The command that approves a user code, which is added to it as the last argument
    #[arg(last = true, required = true)]
    approve: Vec<String>,
}

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let mut client = Client::start(&args.issuer).await?;

    let first = client.log_in(&args.approve).await?;
    say("logged in by the device flow; the session is bound to this program's key");

    let lost = client.refresh(&first).await?.map_err(unexpected)?;
    say("refreshed, and lost the answer");
    let again = client.refresh(&first).await?.map_err(unexpected)?;
    if again.matches(lost.expose()) {
        say(
            "asked again with the same token: the same successor came back. Nobody is logged out by a lost answer",
        );
    } else {
        return Err("the retry brought another successor".into());
    }

    let newest = client.refresh(&again).await?.map_err(unexpected)?;
    say("used the successor, and got the next");

    let own_key = std::mem::replace(&mut client.key, SigningKey::generate());
    match client.refresh(&newest).await? {
        Ok(_) => return Err("a stolen token with another key was accepted".into()),
        Err(error) => say(&format!("a thief sent a copy of it with a key of their own: {error}")),
    }
    client.key = own_key;
    match client.refresh(&newest).await? {
        Ok(_) => Err("the session outlived the theft".into()),
        Err(error) => {
            say(&format!("and the session is cut, for whoever holds its tokens: {error}"));
            Ok(())
        }
    }
}

struct Client {
    http: reqwest::Client,
    issuer: String,
    metadata: IssuerMetadata,
    key: SigningKey,
    nonce: Option<String>,
}

impl Client {
    async fn start(issuer: &str) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let document = http.get(rfc8414_url(issuer)?).send().await?.bytes().await?;
        let metadata = IssuerMetadata::parse(&document, issuer)?;
        Ok(Self { http, issuer: issuer.to_owned(), metadata, key: SigningKey::generate(), nonce: None })
    }

    async fn log_in(&mut self, approve: &[String]) -> Result<Secret<RefreshToken>, Failure> {
        let endpoint = self.metadata.device_authorization_endpoint.clone().ok_or("no device flow here")?;
        let form = [
            ("client_id", "hallpass-cli"),
            ("scope", "offline_access"),
            ("purpose", "show a theft"),
            ("device_install", "lost-and-stolen"),
            ("device_name", "a machine with a thief on it"),
        ];
        let body = self.http.post(endpoint).form(&form).send().await?.bytes().await?;
        let codes = DeviceAuthorization::parse(&body)?;

        let (program, arguments) = approve.split_first().ok_or("no command to approve with")?;
        let approved = Command::new(program)
            .args(arguments)
            .arg(codes.user_code.expose_text())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !approved.success() {
            return Err("the approval failed".into());
        }
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", codes.device_code.expose_text()),
        ];
        self.ask(&form).await?.map_err(unexpected)
    }

    async fn refresh(
        &mut self,
        token: &Secret<RefreshToken>,
    ) -> Result<Result<Secret<RefreshToken>, String>, Failure> {
        self.ask(&[("grant_type", "refresh_token"), ("refresh_token", token.expose_text())]).await
    }

    /// One request at the token endpoint, and once more when the issuer wants its nonce (RFC 9449, section 8).
    async fn ask(&mut self, form: &[(&str, &str)]) -> Result<Result<Secret<RefreshToken>, String>, Failure> {
        let endpoint = self.metadata.token_endpoint.clone().ok_or("no token endpoint here")?;
        let issuer = self.issuer.clone();
        let form = [form, &[("client_id", "hallpass-cli"), ("resource", &issuer)]].concat();
        for _ in 0..2 {
            let request = Request { method: "POST", uri: endpoint.as_ref(), access_token: None };
            let proof = proof(&self.key, &request, self.nonce.as_deref(), now(), &SystemEntropy);
            let answer = self
                .http
                .post(AsRef::<str>::as_ref(&endpoint))
                .header("DPoP", proof)
                .form(&form)
                .send()
                .await?;
            if let Some(nonce) = answer.headers().get("DPoP-Nonce") {
                self.nonce = Some(nonce.to_str()?.to_owned());
            }
            let good = answer.status().is_success();
            let body = answer.bytes().await?;
            if good {
                let refresh = TokenResponse::parse(&body)?.refresh_token;
                return Ok(Ok(refresh.ok_or("no refresh token came")?));
            }
            let error = String::from_utf8_lossy(&body).into_owned();
            if !error.contains("use_dpop_nonce") {
                return Ok(Err(error.trim().to_owned()));
            }
        }
        Err("the issuer never took its own nonce".into())
    }
}

fn unexpected(error: String) -> Failure {
    format!("the issuer refused: {error}").into()
}

#[expect(clippy::print_stdout, reason = "what it shows is its answer")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::disallowed_methods, reason = "the program's one clock")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_millis(since.map_or(0, |d| d.as_millis() as i64))
}
