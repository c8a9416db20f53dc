//! Logging in by the org's own provider (OIDC Core, section 3.1): authorization code, PKCE, nonce, an exact `iss`.
//!
//! 1. The request is bound to this browser: `state` is a ceremony's handle, taken once and by it alone; nonce and code verifier are
//!    made of the browser's own cookie, so that nothing of them is stored.
//! 2. What comes back is believed only as an ID token that the provider signed, for us, for this request, of a login that is as
//!    fresh as it was asked for. `acr`, `amr` and `auth_time` are the provider's word, and carried on as that.
//! 3. Who that is here stands in the store, by issuer and subject. An enrolment link says it the first time.

use aws_lc_rs::hmac;
use axum::response::Response;
use hallpass_model::grant::{Acr, Amr, Authentication};
use hallpass_model::jose::{base64url, peek_unverified};
use hallpass_model::ledger::Actor;
use hallpass_model::lifetimes::{CLIENT_ASSERTION_MAX, RECENT_LOGIN, WEB_ABSOLUTE};
use hallpass_model::principal::Handle;
use hallpass_model::secret::{OneTimeLink, Secret, WebCookie};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::assertion::{ASSERTION_TYPE, assertion};
use hallpass_model::wire::id_token::{self, ExpectedLogin, IdClaims};
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::Form;
use hallpass_model::wire::pkce::CodeChallenge;
use hallpass_store::{
    BeginCeremony, CeremonyKind, FinishProviderLogin, LoginProvider, LoginRefusal, Newcomer, RecordRefusal,
    RefusedSubject, SUBJECT_LEN_MAX, TakeCeremony,
};
use http::StatusCode;
use http::header::SET_COOKIE;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::login::{Target, again, logged_in, login_page};
use crate::pages::Frame;
use crate::pages::answer::page;
use crate::pages::entering::OnwardPage;
use crate::trouble::Trouble;
use crate::web::{Stranger, Visit, cookies};

/// What is asked of the provider: who it is that logs in, and what to call them.
const SCOPE: &str = "openid profile";
/// A name at most, in characters, as the provider says it.
const NAME_LEN_MAX: usize = 80;

/// What is kept of a login under way. No secret is in it.
#[derive(Serialize, Deserialize)]
struct Kept {
    issuer: String,
    target: Vec<(String, String)>,
    again: bool,
    enrols: bool,
}

/// What the token endpoint answers, as far as it counts (OIDC Core, section 3.1.3.3). The access token is not wanted.
#[derive(Deserialize)]
struct Answer {
    id_token: Option<Zeroizing<String>>,
    access_token: Option<Zeroizing<String>>,
    error: Option<String>,
}

/// What an ID token may say beside what a client must judge: words for people.
#[derive(Deserialize, Default)]
struct Words {
    name: Option<String>,
    preferred_username: Option<String>,
}

/// `POST /{org}/login/provider`: on to the provider.
pub(crate) async fn begin(stranger: Stranger) -> Result<Response, Trouble> {
    let visit = &stranger.visit;
    let provider = provider(&stranger).await?;
    let metadata = visit.issuer.outside.metadata(&provider.issuer).await.map_err(unreachable)?;
    let (Some(authorize), Some(_)) = (&metadata.authorization_endpoint, &metadata.token_endpoint) else {
        return Err(unreachable("its metadata names no endpoints"));
    };
    let link: Option<Secret<OneTimeLink>> = visit.form.secret("link");
    let fields = Target::asked(&visit.form).fields();
    let again = visit.form.find("again").is_some();
    let kept = Kept {
        issuer: provider.issuer.clone(),
        target: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        again,
        enrols: link.is_some(),
    };
    visit.count_write()?;
    let begin = BeginCeremony {
        kind: CeremonyKind::Provider { org: stranger.org.id() },
        bound_to: Some(bound_to(&stranger.browser.cookie, link.as_ref())),
        state: serde_json::to_vec(&kept).expect("it is a struct of texts"),
    };
    let state = visit.issuer.store.change(Actor::Nobody, visit.now, begin).await?;
    let state = state.expose_text();
    let verifier = Secret::from_text(made(&stranger.browser.cookie, "verifier", state));
    let challenge = CodeChallenge::of(&verifier);
    let mut address = authorize.clone();
    address
        .query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &provider.client_id)
        .append_pair("redirect_uri", &back_address(&stranger))
        .append_pair("scope", SCOPE)
        .append_pair("state", state)
        .append_pair("nonce", &made(&stranger.browser.cookie, "nonce", state))
        .append_pair("code_challenge", &challenge.to_string())
        .append_pair("code_challenge_method", "S256");
    if metadata.claims_parameter_supported {
        // What some say unasked others say only so (section 5.5).
        let claims = r#"{"id_token":{"acr":null,"amr":null,"auth_time":{"essential":true}}}"#;
        address.query_pairs_mut().append_pair("claims", claims);
    }
    // With `max_age` the provider says when the person proved it (section 3.1.2.1): asked each time, so that an old login there
    // is not taken for a fresh one here.
    match again {
        true => address.query_pairs_mut().append_pair("prompt", "login").append_pair("max_age", "0"),
        false => address.query_pairs_mut().append_pair("max_age", &WEB_ABSOLUTE.as_seconds().to_string()),
    };
    let org = stranger.head();
    let shown = OnwardPage {
        frame: Frame::of(&org, "On to your organisation's login"),
        org,
        provider: provider.name.clone(),
        address: address.to_string(),
    };
    let mut response = stranger.browser.remember(&visit.issuer, page(StatusCode::OK, &shown));
    if let Some(link) = &link {
        // The link waits with the browser, as it did before; here its hash alone is known.
        let cookie = cookies::link(&visit.issuer.settings.base_url, Some(link));
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// `GET /{org}/login/provider`: back from the provider.
pub(crate) async fn back(stranger: Stranger) -> Result<Response, Trouble> {
    let (visit, org) = (&stranger.visit, &stranger.org);
    let provider = provider(&stranger).await?;
    let link = cookies::find_link(&visit.issuer.settings.base_url, &visit.headers);
    let kept = take(&stranger, link.as_ref()).await?;
    // SECURITY: nothing of an answer is used, not even its error, before it is known to be this provider's (RFC 9207).
    let metadata = visit.issuer.outside.metadata(&provider.issuer).await.map_err(unreachable)?;
    let named = visit.form.find("iss");
    let wrong = match named {
        Some(named) => named != provider.issuer,
        None => metadata.authorization_response_iss_parameter_supported,
    };
    if wrong || kept.issuer != provider.issuer {
        return Err(refuse(&stranger, "provider_iss", "the answer is another provider's").await?);
    }
    if visit.form.find("error").is_some() {
        let target = Target::asked(&visit.form);
        let notice = "Your organisation's login was left, or refused you. Try once more.";
        return login_page(&stranger, target, StatusCode::FORBIDDEN, Some(notice)).await;
    }
    let code = visit.form.required("code")?;
    let answer = redeem(&stranger, &provider, &metadata, code).await?;
    let max_age = if kept.again { RECENT_LOGIN } else { WEB_ABSOLUTE };
    let (claims, words) = match judge(&stranger, &provider, &answer, max_age).await? {
        Ok(judged) => judged,
        Err(why) => return Err(refuse(&stranger, "provider_id_token", why).await?),
    };
    let amr = Amr::of_provider(&claims.amr);
    let authentication = Authentication {
        // Never later than now, whatever the provider's clock says.
        at: claims.auth_time.map_or(visit.now, Timestamp::from_seconds).min(visit.now),
        acr: Acr::of_provider(claims.acr.as_deref(), &amr),
        amr,
    };
    let finish = FinishProviderLogin {
        org: org.id(),
        issuer: provider.issuer.clone(),
        newcomer: newcomer(&claims.sub, &words),
        subject: claims.sub,
        authentication,
        link: link.filter(|_| kept.enrols),
    };
    let opened = visit.issuer.store.change(Actor::Nobody, visit.now, finish).await?;
    let enrolled = kept.enrols;
    match opened {
        Ok(opened) => {
            let target = target_of(&kept);
            let mut response = logged_in(&visit.issuer, org.org.name.as_str(), &opened, &target);
            if enrolled {
                let cookie = cookies::link(&visit.issuer.settings.base_url, None);
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            Ok(response)
        }
        Err(why) => Err(not_in(&stranger, &provider, why)),
    }
}

async fn provider(stranger: &Stranger) -> Result<LoginProvider, Trouble> {
    let found = stranger.visit.issuer.store.login_provider(stranger.org.id()).await?;
    found.ok_or_else(|| {
        Trouble::new(
            StatusCode::NOT_FOUND,
            "There is no such login here",
            "This organisation has no login of its own any more.",
            "Log in with a passkey, or ask an administrator.",
        )
        .at(stranger.head())
    })
}

/// Where the provider sends people back to: as it is registered there.
fn back_address(stranger: &Stranger) -> String {
    stranger.org.endpoint("login/provider")
}

/// A text that only this browser and this request make, and that nobody stores.
fn made(browser: &Secret<WebCookie>, purpose: &str, state: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, browser.expose());
    base64url::render(
        hmac::sign(&key, format!("hallpass provider login\n{purpose}\n{state}").as_bytes()).as_ref(),
    )
}

/// What a ceremony is bound to: the browser, and with it the link that it came with, if it did.
fn bound_to(browser: &Secret<WebCookie>, link: Option<&Secret<OneTimeLink>>) -> Secret<WebCookie> {
    let Some(link) = link else { return again(browser) };
    let key = hmac::Key::new(hmac::HMAC_SHA256, browser.expose());
    Secret::new(hmac::sign(&key, link.expose()).as_ref().to_vec())
}

/// The login under way that came back, once.
async fn take(stranger: &Stranger, link: Option<&Secret<OneTimeLink>>) -> Result<Kept, Trouble> {
    let visit: &Visit = &stranger.visit;
    let Some(handle) = visit.form.secret("state") else { return Err(Trouble::ceremony_over()) };
    let mut bindings = vec![bound_to(&stranger.browser.cookie, None)];
    bindings.extend(link.map(|link| bound_to(&stranger.browser.cookie, Some(link))));
    for bound_to in bindings {
        let take = TakeCeremony { handle: again(&handle), bound_to: Some(bound_to) };
        let taken = visit.issuer.store.change(Actor::Nobody, visit.now, take).await?;
        let right = CeremonyKind::Provider { org: stranger.org.id() };
        if let Some(ceremony) = taken.filter(|ceremony| ceremony.kind == right) {
            return serde_json::from_slice(&ceremony.state).map_err(|_| Trouble::ceremony_over());
        }
    }
    Err(Trouble::ceremony_over().at(stranger.head()))
}

/// Trades the code (section 3.1.3.1), proving who we are by our secret there or the org's own key (RFC 7523).
async fn redeem(
    stranger: &Stranger,
    provider: &LoginProvider,
    metadata: &IssuerMetadata,
    code: &str,
) -> Result<Answer, Trouble> {
    let visit = &stranger.visit;
    let Some(at) = &metadata.token_endpoint else { return Err(unreachable("it has no token endpoint")) };
    let state = visit.form.find("state").unwrap_or_default();
    let text = |text: &str| Zeroizing::new(text.to_owned());
    let mut form = vec![
        ("grant_type", text("authorization_code")),
        ("code", text(code)),
        ("redirect_uri", text(&back_address(stranger))),
        ("client_id", text(&provider.client_id)),
        ("code_verifier", Zeroizing::new(made(&stranger.browser.cookie, "verifier", state))),
    ];
    match &provider.secret {
        Some(secret) => form.push(("client_secret", text(secret.expose_text()))),
        None => {
            let mut jti = [0u8; 16];
            visit.issuer.entropy.fill(&mut jti);
            let (key, issuer) = (&stranger.org.keys.signing, provider.issuer.as_str());
            let jti = base64url::render(jti);
            let signed = assertion(key, &provider.client_id, issuer, &jti, visit.now, CLIENT_ASSERTION_MAX);
            form.push(("client_assertion_type", text(ASSERTION_TYPE)));
            form.push(("client_assertion", Zeroizing::new(signed)));
        }
    }
    let (status, body) = visit.issuer.outside.post(at, &form).await.map_err(unreachable)?;
    let body = Zeroizing::new(body);
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| unreachable("its answer is none"))?;
    if status != 200 || answer.error.is_some() {
        let said: String =
            answer.error.unwrap_or_default().chars().filter(char::is_ascii_graphic).take(80).collect();
        return Err(unreachable(format_args!("it answered {status} {said}")));
    }
    Ok(answer)
}

/// Whether what it says is to be believed (section 3.1.3.7). `Err` inside: why not.
async fn judge(
    stranger: &Stranger,
    provider: &LoginProvider,
    answer: &Answer,
    max_age: Lifetime,
) -> Result<Result<(IdClaims, Words), &'static str>, Trouble> {
    let visit = &stranger.visit;
    let Some(token) = answer.id_token.as_deref() else { return Ok(Err("it came without an ID token")) };
    let state = visit.form.find("state").unwrap_or_default();
    let nonce = made(&stranger.browser.cookie, "nonce", state);
    let kid = peek_unverified(token).ok().and_then(|said| said.kid);
    let keys = visit.issuer.outside.keys_of_issuer(&provider.issuer, kid.as_deref()).await;
    let keys = keys.map_err(unreachable)?;
    let expected = ExpectedLogin {
        issuer: &provider.issuer,
        client_id: &provider.client_id,
        nonce: Some(&nonce),
        max_age: Some(max_age),
        access_token: answer.access_token.as_ref().map(|token| token.as_str()),
    };
    let claims = match id_token::judge(token, &keys, &expected, visit.now) {
        Ok(claims) => claims,
        Err(why) => {
            tracing::info!(org.id = %stranger.org.id(), because = %why, "a provider's ID token was refused");
            return Ok(Err("its ID token is not one to believe"));
        }
    };
    if claims.sub.is_empty() || claims.sub.len() > SUBJECT_LEN_MAX {
        return Ok(Err("its subject is none"));
    }
    // Verified just now.
    let words = token.split('.').nth(1).and_then(base64url::parse);
    let words = words.and_then(|words| serde_json::from_slice(&words).ok()).unwrap_or_default();
    Ok(Ok((claims, words)))
}

/// What somebody new is called here: the provider's words, as far as they can be.
fn newcomer(subject: &str, words: &Words) -> Newcomer {
    let from = |text: &str| {
        let text = text.split('@').next().unwrap_or_default().to_ascii_lowercase();
        let kept: String =
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
        let kept = kept.trim_matches('-').trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
        kept.parse::<Handle>().ok()
    };
    let handle = words.preferred_username.as_deref().and_then(from).or_else(|| from(subject));
    let shown = |name: &str| {
        let kept = name.chars().filter(|c| !c.is_control()).take(NAME_LEN_MAX).collect::<String>();
        let kept = kept.split_whitespace().collect::<Vec<_>>().join(" ");
        (!kept.is_empty()).then_some(kept)
    };
    let handle = handle.unwrap_or_else(|| "person".parse().expect("it is a short name"));
    let name = words.name.as_deref().and_then(shown).unwrap_or_else(|| handle.to_string());
    Newcomer { handle, name }
}

fn target_of(kept: &Kept) -> Target {
    if kept.enrols {
        return Target::Sessions;
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&kept.target).finish();
    Form::parse(query.as_bytes()).map_or(Target::Sessions, |form| Target::asked(&form))
}

/// Records a refusal, and gives what the person is told.
async fn refuse(stranger: &Stranger, rule: &'static str, why: &'static str) -> Result<Trouble, Trouble> {
    let record = RecordRefusal { subject: RefusedSubject::org(stranger.org.id()), rule };
    stranger.visit.issuer.store.change(Actor::Nobody, stranger.visit.now, record).await?;
    Ok(Trouble::new(
        StatusCode::FORBIDDEN,
        "This login is not to be believed",
        why,
        "Start again from the login page. If it stays so, an administrator should look at the provider.",
    )
    .at(stranger.head()))
}

fn unreachable(why: impl std::fmt::Display) -> Trouble {
    tracing::warn!(because = %why, "an organisation's own login cannot be used");
    Trouble::new(
        StatusCode::BAD_GATEWAY,
        "Your organisation's login does not answer",
        "It could not be reached, or said something that cannot be used. Nothing was changed.",
        "Try again in a moment. If it stays so, an administrator finds the reason in the server's log.",
    )
}

fn not_in(stranger: &Stranger, provider: &LoginProvider, why: LoginRefusal) -> Trouble {
    let (title, told, next) = match why {
        LoginRefusal::Disabled => (
            "You are disabled here",
            "An administrator has taken you out of use in this organisation.",
            "Ask an administrator.".to_owned(),
        ),
        LoginRefusal::Link => (
            "This link does not work",
            "It was used already, is more than a day old, or was replaced by a newer one.",
            "Ask an administrator for a new enrolment link.".to_owned(),
        ),
        LoginRefusal::LinkedToAnother => (
            "You are somebody else here",
            "Whom you logged in as is another person of this organisation already.",
            format!("Log out at {}, and log in there as yourself.", provider.name),
        ),
        _ => (
            "You are nobody here yet",
            "Your login was good, and nobody in this organisation is known by it.",
            "Ask an administrator for an enrolment link, and choose this login on its page.".to_owned(),
        ),
    };
    Trouble::new(StatusCode::FORBIDDEN, title, told, next).at(stranger.head())
}
