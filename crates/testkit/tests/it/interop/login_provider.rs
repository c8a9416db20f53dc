//! People log in here by their organisation's own provider: npm's oidc-provider.

use hallpass_model::grant::{Acr, Amr};
use hallpass_model::lifetimes::WEB_ABSOLUTE;
use hallpass_model::principal::Requirements;
use hallpass_model::secret::Secret;
use hallpass_model::step_up::Demand;
use hallpass_model::time::Clock;
use hallpass_store::{LinkPurpose, NewProvider, SetLoginProvider, SetOrgRequirements, SetPersonStanding};
use hallpass_testkit::browser::Browser;
use hallpass_testkit::{Reply, Visitor, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Npm;
use super::issuer::with_real_time;

/// A world whose org has a provider, and the provider.
struct Sso {
    world: World,
    issuer: String,
    _provider: Npm,
}

impl Sso {
    async fn new(newcomers: bool) -> Self {
        Self::by("by-key", None, newcomers).await
    }

    async fn by(client_id: &str, secret: Option<&str>, newcomers: bool) -> Self {
        let world = World::new().await;
        with_real_time(&world);
        let mut provider = Npm::start("login-provider.mjs");
        let job = json!({
            "redirect_uri": format!("{}/login/provider", world.issuer_url),
            "jwks_uri": format!("{}/jwks", world.issuer_url),
        });
        provider.tell(&job.to_string()).await;
        let issuer = provider.hear().await.expect("it starts")["ready"].as_str().expect("a URL").to_owned();
        let set = SetLoginProvider {
            org: world.org,
            provider: Some(NewProvider {
                issuer: issuer.clone(),
                client_id: client_id.to_owned(),
                secret: secret.map(|secret| Secret::from_text(secret.to_owned())),
                name: "Acme login".to_owned(),
                newcomers,
            }),
        };
        assert!(world.change(set).await);
        Self { world, issuer, _provider: provider }
    }

    /// The address that the login page leads to.
    async fn onward(&self, browser: &mut Visitor<'_>, form: &[(&str, &str)]) -> String {
        let page = browser.get("/acme/login").await;
        assert!(page.body.contains("Log in with Acme login"), "{}", page.body);
        let onward = browser.post("/acme/login/provider", form).await;
        assert_eq!(onward.status, StatusCode::OK, "{}", onward.body);
        let (_, rest) = onward.body.split_once("content=\"0;url=").expect("a way on");
        rest.split_once('"').expect("its end").0.replace("&#38;", "&").replace("&amp;", "&")
    }

    /// Logs somebody in there, and comes back to this path here.
    async fn there(&self, address: &str, who: Value) -> String {
        let mut who = who;
        who["url"] = address.into();
        let visit = self.world.http.post(format!("{}/test/visit", self.issuer)).json(&who).send().await;
        let said: Value = visit.expect("it answers").json().await.expect("JSON");
        let back = said["back"].as_str().unwrap_or_else(|| panic!("nobody came back: {said}"));
        back.strip_prefix(&self.world.base_url).unwrap_or_else(|| panic!("elsewhere: {back}")).to_owned()
    }

    async fn log_in(&self, browser: &mut Visitor<'_>, form: &[(&str, &str)], who: Value) -> Reply {
        let address = self.onward(browser, form).await;
        let back = self.there(&address, who).await;
        browser.get(&back).await
    }

    async fn enrol_ada(&self, browser: &mut Visitor<'_>, sub: &str) -> Reply {
        let link = self.world.link(LinkPurpose::Enrol { person: self.world.ada }).await;
        self.log_in(browser, &[("link", link.expose_text())], json!({ "sub": sub, "amr": ["pwd", "mfa"] }))
            .await
    }
}

fn leads_to(reply: &Reply) -> Option<&str> {
    reply.header("location")
}

#[tokio::test]
async fn a_person_joins_by_a_link_and_logs_in_by_their_provider_from_then_on() {
    let sso = Sso::new(false).await;
    let mut browser = sso.world.visitor();
    let reply = sso.enrol_ada(&mut browser, "there-1").await;
    assert_eq!(leads_to(&reply), Some("/acme/sessions"), "{}", reply.body);
    assert!(browser.get("/acme/sessions").await.body.contains("ada"));
    assert_eq!(
        sso.world.store.login_links(sso.world.ada).await.expect("it reads"),
        [(sso.issuer.clone(), "there-1".to_owned())]
    );
    // In another browser, another day, to the page they meant.
    let mut other = sso.world.visitor();
    let reply = sso.log_in(&mut other, &[("to", "passkeys")], json!({ "sub": "there-1" })).await;
    assert_eq!(leads_to(&reply), Some("/acme/passkeys"), "{}", reply.body);
    // Somebody else of the provider's is nobody here, whatever they are called.
    let stranger = json!({ "sub": "there-2", "name": "ada", "preferred_username": "ada" });
    let reply = sso.log_in(&mut sso.world.visitor(), &[], stranger).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(reply.body.contains("You are nobody here yet"), "{}", reply.body);
}

#[tokio::test]
async fn whoever_has_a_secret_there_logs_in_with_it() {
    let sso = Sso::by("by-secret", Some("a-secret-of-the-providers"), true).await;
    let reply = sso
        .log_in(
            &mut sso.world.visitor(),
            &[],
            json!({ "sub": "x", "name": "Grace Hopper", "preferred_username": "Grace.Hopper@acme.example" }),
        )
        .await;
    assert_eq!(leads_to(&reply), Some("/acme/sessions"), "{}", reply.body);
    let mut people = sso.world.store.list_people(sso.world.org, None, 10).await.expect("it reads").items;
    people.retain(|person| person.handle.as_str() == "grace-hopper");
    assert_eq!(people[0].name, "Grace Hopper");
}

/// SECURITY: by issuer and subject. A name that somebody has already is theirs.
#[tokio::test]
async fn a_newcomer_who_is_called_like_somebody_is_somebody_else() {
    let sso = Sso::new(true).await;
    let who = json!({ "sub": "there-9", "name": "Ada", "preferred_username": "ada" });
    let reply = sso.log_in(&mut sso.world.visitor(), &[], who.clone()).await;
    assert_eq!(leads_to(&reply), Some("/acme/sessions"), "{}", reply.body);
    assert_eq!(sso.world.store.login_links(sso.world.ada).await.expect("it reads"), []);
    let people = sso.world.store.list_people(sso.world.org, None, 10).await.expect("it reads").items;
    let new = people.iter().find(|person| person.handle.as_str() == "ada-2").expect("a person of their own");
    // And the same person the next time; who is taken out of use stays out.
    sso.log_in(&mut sso.world.visitor(), &[], who.clone()).await;
    assert_eq!(
        sso.world.store.list_people(sso.world.org, None, 10).await.expect("it reads").items.len(),
        people.len()
    );
    sso.world.change(SetPersonStanding { org: sso.world.org, person: new.id, active: false }).await;
    let refused = sso.log_in(&mut sso.world.visitor(), &[], who).await;
    assert!(refused.status == StatusCode::FORBIDDEN && refused.body.contains("You are disabled here"));
}

#[tokio::test]
async fn how_strongly_and_when_is_the_providers_word_and_is_carried_on() {
    let sso = Sso::new(true).await;
    let cases = [
        (json!({ "sub": "a", "ago": 300 }), Acr::Sso, vec![Amr::Sso]),
        (
            json!({ "sub": "a", "acr": "urn:example:silver", "amr": ["pwd", "unheard"] }),
            Acr::Sso,
            vec![Amr::Sso, Amr::Pwd],
        ),
        (
            json!({ "sub": "a", "amr": ["mfa", "otp", "sso", "local"] }),
            Acr::MultiFactor,
            vec![Amr::Sso, Amr::Mfa, Amr::Otp],
        ),
        (
            json!({ "sub": "a", "acr": "phr", "amr": ["hwk"] }),
            Acr::PhishingResistant,
            vec![Amr::Sso, Amr::Hwk],
        ),
    ];
    for (who, acr, amr) in cases {
        let mut browser = sso.world.visitor();
        let ago = who["ago"].as_i64().unwrap_or(0);
        let reply = sso.log_in(&mut browser, &[], who).await;
        assert_eq!(leads_to(&reply), Some("/acme/sessions"), "{}", reply.body);
        let cookie = reply.headers.get_all("set-cookie").iter().find_map(|set| {
            let set = set.to_str().ok()?;
            set.contains("login-acme=")
                .then(|| set.split_once('=').unwrap().1.split(';').next().unwrap().to_owned())
        });
        let cookie = Secret::from_text(cookie.expect("a login"));
        let now = sso.world.clock.now();
        let web =
            sso.world.store.find_web(&cookie, sso.world.org, now).await.expect("it reads").expect("a login");
        assert_eq!((web.authentication.acr, &web.authentication.amr), (acr, &amr));
        let since = now.since(web.authentication.at).as_seconds();
        assert!((ago..ago + 30).contains(&since), "{since} s ago, not {ago}");
    }
}

/// A login that is to be repeated is repeated there: an old one is not taken for a fresh one.
#[tokio::test]
async fn whoever_must_prove_it_again_is_asked_again_and_an_old_login_will_not_do() {
    let sso = Sso::new(true).await;
    let address = sso.onward(&mut sso.world.visitor(), &[("again", "1")]).await;
    assert!(address.contains("prompt=login") && address.contains("max_age=0"), "{address}");
    let address = sso.onward(&mut sso.world.visitor(), &[]).await;
    assert!(address.contains(&format!("max_age={}", WEB_ABSOLUTE.as_seconds())), "{address}");
    let old = json!({ "sub": "a", "ago": 3_000 });
    let reply = sso.log_in(&mut sso.world.visitor(), &[("again", "1")], old).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.body);
    assert!(reply.body.contains("not to be believed"));
}

/// SECURITY: what another browser began, what is repeated, what is another provider's, and what the person did not allow.
#[tokio::test]
async fn an_answer_is_good_once_in_the_browser_that_asked_and_from_the_provider_alone() {
    let sso = Sso::new(true).await;
    let (mut mine, mut theirs) = (sso.world.visitor(), sso.world.visitor());
    theirs.get("/acme/login").await;
    let address = sso.onward(&mut mine, &[]).await;
    let back = sso.there(&address, json!({ "sub": "a" })).await;
    let refused = theirs.get(&back).await;
    assert_eq!(refused.status, StatusCode::GONE, "begun elsewhere: {}", refused.body);
    // Another's attempt took nothing away; with another issuer's name it is not even looked at.
    let other = back.split("&iss=").next().expect("a part").to_owned() + "&iss=https%3A%2F%2Fother.example";
    assert_eq!(mine.get(&other).await.status, StatusCode::FORBIDDEN);
    assert_eq!(mine.get(&back).await.status, StatusCode::GONE, "it was taken, whatever came of it");

    let address = sso.onward(&mut mine, &[]).await;
    let back = sso.there(&address, json!({ "sub": "a" })).await;
    assert_eq!(leads_to(&mine.get(&back).await), Some("/acme/sessions"));
    assert_eq!(mine.get(&back).await.status, StatusCode::GONE, "good once");

    let mut browser = sso.world.visitor();
    let denied = sso.log_in(&mut browser, &[], json!({ "sub": "a", "deny": true })).await;
    assert!(denied.status == StatusCode::FORBIDDEN && denied.body.contains("refused you"), "{}", denied.body);
    // Without the issuer's name, which it promised, an answer is none (RFC 9207).
    let address = sso.onward(&mut browser, &[]).await;
    let back = sso.there(&address, json!({ "sub": "a" })).await;
    let nameless = back.split("&iss=").next().expect("a part");
    assert_eq!(browser.get(nameless).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_link_enrols_its_person_once_and_nobody_who_is_somebody_else() {
    let sso = Sso::new(false).await;
    let mut browser = sso.world.visitor();
    sso.enrol_ada(&mut browser, "there-1").await;
    let grace = sso.world.add_person("grace").await;
    let link = sso.world.link(LinkPurpose::Enrol { person: grace }).await;
    let form = [("link", link.expose_text())];
    let refused = sso.log_in(&mut sso.world.visitor(), &form, json!({ "sub": "there-1" })).await;
    assert!(refused.body.contains("You are somebody else here"), "{}", refused.body);
    let reply = sso.log_in(&mut sso.world.visitor(), &form, json!({ "sub": "there-2" })).await;
    assert_eq!(leads_to(&reply), Some("/acme/sessions"), "what was refused spent nothing: {}", reply.body);
    let again = sso.log_in(&mut sso.world.visitor(), &form, json!({ "sub": "there-3" })).await;
    assert!(again.body.contains("This link does not work"), "{}", again.body);
    // What is personal about them is forgotten with the rest.
    let now = sso.world.clock.now();
    let actor = hallpass_model::ledger::Actor::Operator;
    sso.world.store.erase_personal(actor, now, sso.world.org, grace).await.expect("it is erased");
    assert_eq!(sso.world.store.login_links(grace).await.expect("it reads"), []);
}

#[tokio::test]
async fn an_org_that_requires_its_own_login_takes_no_other() {
    let sso = Sso::new(false).await;
    let world = &sso.world;
    let tokens = world.sign_in("ada", "hallpass-cli").await;
    let mut with_passkey = world.visitor_as(world.ada).await;
    let requires =
        Requirements { demand: Demand { sso: true, ..Demand::default() }, ..Requirements::default() };
    world.change(SetOrgRequirements { org: world.org, requires }).await;
    assert!(world.refresh(&tokens).await.is_err(), "what was opened by a passkey is not renewed");
    let page = world.visitor().get("/acme/login").await;
    assert!(page.body.contains("Log in with Acme login") && !page.body.contains("Log in with a passkey"));
    with_passkey.get("/acme/login?again=1").await;
    let refused = with_passkey.post("/acme/login", &[("step", "finish"), ("credential", "{}")]).await;
    assert!(
        refused.status == StatusCode::FORBIDDEN && refused.body.contains("Passkeys are not used here"),
        "{}",
        refused.body
    );
    // A sign-in asks for the right login first, and then goes through.
    let mut browser = world.visitor();
    sso.enrol_ada(&mut browser, "there-1").await;
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let ask = format!(
        "/acme/authorize?client_id=hallpass-cli&redirect_uri=http%3A%2F%2F127.0.0.1%3A5%2Fcallback&response_type=code\
         &scope=notes%3Aread&code_challenge={challenge}&code_challenge_method=S256"
    );
    for (visitor, good) in [(&mut with_passkey, false), (&mut browser, true)] {
        let on = visitor.get(&ask).await;
        let on = leads_to(&on).unwrap_or_else(|| panic!("no way on: {}", on.body)).to_owned();
        let path = on.strip_prefix(&world.base_url).unwrap_or(&on).to_owned();
        let page = visitor.get(&path).await;
        match good {
            true => assert!(page.body.contains("act for you?"), "{}", page.body),
            false => {
                assert!(leads_to(&page).is_some_and(|to| to.contains("/login") && to.contains("again=1")))
            }
        }
    }
}

/// In a real browser, from the link to the sessions and back again by the login page: under our content security policy, without a
/// script of ours between.
#[tokio::test]
async fn a_browser_joins_by_the_link_and_logs_in_there_and_comes_back() {
    let sso = Sso::new(false).await;
    let person = format!("{}/test/person", sso.issuer);
    sso.world.http.post(person).json(&json!({ "sub": "there-1" })).send().await.expect("it listens");
    let link = sso.world.link(LinkPurpose::Enrol { person: sso.world.ada }).await;
    let browser = Browser::start().await.expect("it starts");
    browser.open(&format!("{}/enrol#{}", sso.world.issuer_url, link.expose_text())).await.expect("it opens");
    browser.click("button[data-plain]").await.expect("a way there");
    browser.wait_for_url(|url| url.ends_with("/acme/sessions")).await.expect("back again");
    assert!(
        browser.text("main").await.expect("a page").contains("ada")
            || !browser.text("nav").await.expect("a page").is_empty()
    );
    browser.click("form[action$='/logout'] button").await.expect("a way out");
    browser.wait_for_url(|url| url.contains("/acme/login")).await.expect("out");
    browser.click("form[action$='/login/provider'] button").await.expect("a way there");
    browser.wait_for_url(|url| url.ends_with("/acme/sessions")).await.expect("back again");
    let complaints = browser.complaints().await.expect("it says");
    assert!(complaints.is_empty(), "{complaints:#?}");
}
