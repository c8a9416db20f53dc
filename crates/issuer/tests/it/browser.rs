//! The pages in a real Chromium, with a virtual authenticator: what a person sees, presses and gets.

use std::path::{Path, PathBuf};

use hallpass_model::agent::{AgentKind, Budget};
use hallpass_model::principal::Owner;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::{GrantType, Scopes};
use hallpass_store::{AllowDocuments, LinkPurpose, NewProvider, RegisterAgent, SetLoginProvider};
use hallpass_testkit::World;
use hallpass_testkit::browser::{Authenticator, Browser, Key};
use hallpass_testkit::document_host::DocumentHost;
use hallpass_testkit::world::NOTES;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub(crate) type Done = Result<(), Box<dyn std::error::Error>>;

/// A person who has enrolled at `acme` by their link, and is logged in.
pub(crate) async fn enrolled<'b>(
    world: &World,
    browser: &'b Browser,
) -> Result<Authenticator<'b>, Box<dyn std::error::Error>> {
    let authenticator = browser.authenticator().await?;
    let link = world.link(LinkPurpose::Enrol { person: world.ada }).await;
    browser.open(&format!("{}/enrol#{}", world.issuer_url, link.expose_text())).await?;
    browser.click("button[type=submit]").await?;
    browser.wait_for_url(|url| url.ends_with("/acme/passkeys?done=welcome")).await?;
    Ok(authenticator)
}

/// A device login that waits: its user code and its device code.
async fn waiting(world: &World) -> (String, String) {
    let extra = [
        ("scope", "openid offline_access notes:read"),
        ("resource", NOTES),
        ("purpose", "Deploy release 4.2"),
        ("device_install", "install-0001"),
        ("device_name", "build-7"),
    ];
    let started = world.start_device("hallpass-cli", &extra).await.json();
    let text = |name: &str| started[name].as_str().expect("a text").to_owned();
    (text("user_code"), text("device_code"))
}

/// What a poll is told: `error`, or `ok` with a session.
async fn poll(world: &World, device_code: &str) -> String {
    let form = [
        ("grant_type", GrantType::DeviceCode.text()),
        ("client_id", "hallpass-cli"),
        ("device_code", device_code),
        ("resource", &world.issuer_url),
    ];
    let reply = world.ask_token(&form, None).await;
    reply.json()["error"].as_str().map_or_else(|| "ok".to_owned(), str::to_owned)
}

/// The way of a client to its consent, with the answer sent to `redirect_uri`.
fn authorize(world: &World, redirect_uri: &str) -> String {
    let query = [
        ("response_type", "code"),
        ("client_id", "hallpass-cli"),
        ("redirect_uri", redirect_uri),
        ("scope", "openid notes:read"),
        ("resource", NOTES),
        ("state", "s1"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("purpose", "Look through last week's notes"),
        ("device_install", "install-0001"),
        ("device_name", "ada-laptop"),
    ];
    format!("{}/authorize?{}", world.issuer_url, hallpass_testkit::client::encode(&query))
}

/// Waits for the one request a program on this computer gets, and says which path it was for.
async fn redirected(listener: TcpListener) -> std::io::Result<String> {
    let (mut stream, _) = listener.accept().await?;
    let mut request = vec![0; 4096];
    let read = stream.read(&mut request).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone").await?;
    let text = String::from_utf8_lossy(&request[..read]).into_owned();
    Ok(text.split(' ').nth(1).unwrap_or_default().to_owned())
}

/// Fails if the browser refused anything a page asked for.
pub(crate) async fn nothing_was_refused(browser: &Browser) -> Done {
    let mut complaints = browser.complaints().await?;
    // Of the program's own page, once it has its answer and is gone.
    complaints.retain(|complaint| !complaint.contains("/favicon.ico"));
    assert!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

#[tokio::test]
async fn a_set_up_link_makes_an_org_and_a_passkey_that_logs_in() -> Done {
    let world = World::new().await;
    let browser = Browser::start().await?;
    let authenticator = browser.authenticator().await?;
    let link = world.link(LinkPurpose::SetUp).await;
    let address = format!("{}/setup#{}", world.base_url, link.expose_text());
    browser.open(&address).await?;
    assert_eq!(
        browser.url().await?,
        format!("{}/setup", world.base_url),
        "the secret leaves the address bar"
    );

    browser.type_into("#title", "The Other Org").await?;
    browser.type_into("#name", "other").await?;
    browser.type_into("#person", "Bob").await?;
    browser.type_into("#handle", "bob").await?;
    browser.click("button[type=submit]").await?;
    browser.wait_for_url(|url| url.ends_with("/other/passkeys?done=welcome")).await?;
    assert!(browser.text("main").await?.contains("You have only one"));

    let held = authenticator.credentials().await?;
    assert_eq!(held.len(), 1);
    assert_eq!(held[0]["rpId"], json!("localhost"));
    assert_eq!(held[0]["isResidentCredential"], json!(true), "the login page does not ask who one is");

    browser.click(".who button").await?;
    browser.wait_for_url(|url| url.ends_with("/other/login")).await?;
    browser.click("button[type=submit]").await?;
    browser.wait_for_url(|url| url.ends_with("/other/sessions")).await?;

    // The link is spent.
    browser.open(&address).await?;
    for (field, text) in [("#title", "T"), ("#name", "third"), ("#person", "Eve"), ("#handle", "eve")] {
        browser.type_into(field, text).await?;
    }
    browser.click("button[type=submit]").await?;
    let told = browser.text("[data-trouble]:not([hidden])").await?;
    assert!(told.contains("used already"), "{told}");
    let complaints = browser.complaints().await?;
    assert!(complaints.iter().all(|complaint| complaint.contains("410")), "{complaints:#?}");
    Ok(())
}

#[tokio::test]
async fn a_program_on_this_computer_is_allowed_and_denied() -> Done {
    let world = World::new().await;
    let browser = Browser::start().await?;
    let _authenticator = enrolled(&world, &browser).await?;
    for (address, answer, said) in [
        ("127.0.0.1:0", "yes", "code="),
        ("[::1]:0", "yes", "code="),
        ("127.0.0.1:0", "no", "error=access_denied"),
    ] {
        let listener = TcpListener::bind(address).await?;
        let back = format!("http://{}/callback", listener.local_addr()?);
        let program = tokio::spawn(redirected(listener));
        browser.open(&authorize(&world, &back)).await?;
        let page = browser.text("main").await?;
        for shown in ["Read notes", "ada-laptop", "Look through last week's notes"] {
            assert!(page.contains(shown), "lacks {shown}: {page}");
        }
        browser.click(&format!("button[value={answer}]")).await?;
        let path = program.await??;
        assert!(
            path.starts_with("/callback?") && path.contains(said) && path.contains("state=s1"),
            "{address}: {path}"
        );
    }
    nothing_was_refused(&browser).await
}

#[tokio::test]
async fn a_program_waits_for_the_login_first() -> Done {
    let world = World::new().await;
    let browser = Browser::start().await?;
    let _authenticator = enrolled(&world, &browser).await?;
    browser.click(".who button").await?;
    browser.wait_for_url(|url| url.ends_with("/acme/login")).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let back = format!("http://{}/callback", listener.local_addr()?);
    let program = tokio::spawn(redirected(listener));
    browser.open(&authorize(&world, &back)).await?;
    assert!(browser.url().await?.contains("/acme/login?to=consent&request="));
    browser.click("button[type=submit]").await?;
    browser.wait_for_url(|url| url.contains("/acme/consent?request=")).await?;
    browser.click("button[value=yes]").await?;
    assert!(program.await??.contains("code="));
    nothing_was_refused(&browser).await
}

#[tokio::test]
async fn a_device_is_approved_ended_and_denied() -> Done {
    let world = World::new().await;
    let browser = Browser::start().await?;
    let _authenticator = enrolled(&world, &browser).await?;

    let (user_code, device_code) = waiting(&world).await;
    browser.open(&format!("{}/device", world.issuer_url)).await?;
    browser.type_into("#code", &user_code.to_lowercase().replace('-', " ")).await?;
    browser.click("main button").await?;
    let page = browser.text("main").await?;
    for shown in ["build-7", "Deploy release 4.2", "Read notes", &user_code, "90 days at most"] {
        assert!(page.contains(shown), "lacks {shown}: {page}");
    }
    assert_eq!(poll(&world, &device_code).await, "authorization_pending", "looking approves nothing");
    browser.click("button[value=yes]").await?;
    browser.wait_for_url(|url| url.contains("/acme/device/answer?request=")).await?;
    assert_eq!(poll(&world, &device_code).await, "ok");

    // It was not me.
    browser.click("main .note button").await?;
    assert!(browser.text("h1").await?.contains("can no longer act for you"));
    browser.open(&format!("{}/sessions", world.issuer_url)).await?;
    assert!(browser.text("main").await?.contains("No program can act for you"));

    let (user_code, device_code) = waiting(&world).await;
    browser.open(&format!("{}/device?user_code={user_code}", world.issuer_url)).await?;
    browser.click("main button").await?;
    browser.click("button[value=no]").await?;
    assert!(browser.text("h1").await?.contains("was turned away"));
    assert_eq!(poll(&world, &device_code).await, "access_denied");
    nothing_was_refused(&browser).await
}

#[tokio::test]
async fn a_device_is_answered_by_keyboard_alone_and_enter_does_not_mean_yes() -> Done {
    let world = World::new().await;
    let browser = Browser::start().await?;
    let _authenticator = enrolled(&world, &browser).await?;
    let (user_code, device_code) = waiting(&world).await;
    browser.open(&format!("{}/device", world.issuer_url)).await?;
    assert!(browser.has_focus("#code").await?, "the one field has the focus");
    browser.type_into("#code", &user_code).await?;
    browser.press(Key::Enter).await?;
    assert!(browser.text("h1").await?.contains("act for you"));

    browser.press(Key::Tab).await?;
    assert!(browser.has_focus(".skip").await?, "first, a way past the top of the page");
    browser.press(Key::Tab).await?;
    assert!(browser.has_focus(".who button").await?);
    browser.press(Key::Tab).await?;
    assert!(browser.has_focus("button[value=no]").await?, "saying no comes first");
    let outline = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.script(outline, json!([])).await?, json!("solid"), "the focus is seen");
    browser.press(Key::Tab).await?;
    assert!(browser.has_focus("button[value=yes]").await?);
    assert_eq!(poll(&world, &device_code).await, "authorization_pending");
    browser.press(Key::Space).await?;
    browser.wait_for_url(|url| url.contains("/acme/device/answer?request=")).await?;
    assert_eq!(poll(&world, &device_code).await, "ok");
    nothing_was_refused(&browser).await
}

#[tokio::test]
async fn once_logged_in_a_device_is_approved_without_scripts() -> Done {
    let world = World::new().await;
    let browser = Browser::start().await?;
    let _authenticator = enrolled(&world, &browser).await?;
    browser.allow_scripts(false).await?;
    let (user_code, device_code) = waiting(&world).await;
    browser.open(&format!("{}/device?user_code={user_code}", world.issuer_url)).await?;
    browser.click("main button").await?;
    browser.click("button[value=yes]").await?;
    assert!(browser.text("h1").await?.contains("may act for you"));
    assert_eq!(poll(&world, &device_code).await, "ok");
    browser.open(&format!("{}/login?again=1", world.issuer_url)).await?;
    assert!(browser.text("main").await?.contains("Scripts are off"), "the page that needs them says so");
    Ok(())
}

#[tokio::test]
async fn a_session_is_ended_and_a_second_passkey_logs_in() -> Done {
    let world = World::new().await;
    let browser = Browser::start().await?;
    let first = enrolled(&world, &browser).await?;
    let session = world.sign_in("ada", "hallpass-cli").await;
    let session = world.refresh(&session).await.expect("it lives");

    browser.open(&format!("{}/sessions", world.issuer_url)).await?;
    browser.click("button[value=end]").await?;
    browser.wait_for_url(|url| url.ends_with("done=ended")).await?;
    assert!(world.refresh(&session).await.is_err(), "it ends at once");
    assert!(browser.text("main").await?.contains("No program can act for you"));

    // The same authenticator makes no second one: it says that it has one.
    browser.open(&format!("{}/passkeys", world.issuer_url)).await?;
    browser.type_into("#name", "The same").await?;
    browser.click("form[data-passkey] button").await?;
    assert!(browser.text("[data-trouble]:not([hidden])").await?.contains("already holds a passkey"));

    // The laptop is lost; the person has another authenticator.
    first.unplug().await?;
    let second = browser.authenticator().await?;
    // The list is by age.
    world.clock.advance(hallpass_model::time::Lifetime::seconds(1));
    browser.open(&format!("{}/passkeys", world.issuer_url)).await?;
    browser.type_into("#name", "Key in the drawer").await?;
    browser.click("form[data-passkey] button").await?;
    browser.wait_for_url(|url| url.ends_with("done=added")).await?;
    browser.click(".items li:first-child button").await?;
    browser.wait_for_url(|url| url.ends_with("done=removed")).await?;
    browser.click(".who button").await?;
    browser.wait_for_url(|url| url.ends_with("/acme/login")).await?;
    browser.click("button[type=submit]").await?;
    browser.wait_for_url(|url| url.ends_with("/acme/sessions")).await?;

    // Whoever does not pass the authenticator's own check is not let in, and is told what to do.
    second.verify_owner(false).await?;
    browser.open(&format!("{}/login?again=1", world.issuer_url)).await?;
    browser.click("button[type=submit]").await?;
    assert!(browser.text("[data-trouble]:not([hidden])").await?.contains("try again"));
    nothing_was_refused(&browser).await
}

/// An agent of ada's with two runs, one of which has used up its budget.
async fn agents_at_work(world: &World) -> [String; 2] {
    let login = world.sign_in("ada", "hallpass-cli").await;
    let register = RegisterAgent {
        org: world.org,
        person: world.ada,
        handle: "coder".parse().expect("a short name"),
        kind: AgentKind::Coding,
        scopes: Scopes::parse("notes:read").expect("a scope"),
        longest: Lifetime::hours(4),
        budget: Budget { tokens: 1, ..Budget::default() },
    };
    world.change(register).await;
    let mut runs = Vec::new();
    for purpose in ["Fix the build of release 4.2", "Look for notes nobody reads"] {
        let asked = [("resource", NOTES), ("agent", "coder"), ("purpose", purpose)];
        let pass = world.exchange(&login, &asked).await.expect("a run begins");
        runs.push(pass.claims().act.expect("an agent acts").run.expect("in a run"));
    }
    let again = [("resource", NOTES), ("run", runs[0].as_str())];
    world.exchange(&login, &again).await.expect_err("its budget was one token");
    runs.try_into().expect("two")
}

#[tokio::test]
async fn a_run_is_let_go_on_and_ended_by_a_button() -> Done {
    let world = World::new().await;
    let browser = Browser::start().await?;
    let _authenticator = enrolled(&world, &browser).await?;
    let [waits, other] = agents_at_work(&world).await;
    browser.open(&format!("{}/agents", world.issuer_url)).await?;
    let page = browser.text("main").await?;
    for word in [
        "coder",
        "Fix the build of release 4.2",
        "It has used up its tokens",
        "waits for you",
        "1 of 1 tokens",
    ] {
        assert!(page.contains(word), "{word}: {page}");
    }
    let of = |run: &str| format!("form:has(input[value='{run}'])");
    browser.click(&format!("{} button[value=continue]", of(&waits))).await?;
    assert!(browser.text("[role=status]").await?.contains("It may go on"));
    assert!(!browser.text("main").await?.contains("waits for you"));
    browser.click(&format!("{} button[value=end]", of(&other))).await?;
    let page = browser.text("main").await?;
    assert!(page.contains("Ended.") && !page.contains("notes nobody reads"), "{page}");
    browser.click("button[value=end-all]").await?;
    assert!(browser.text("main").await?.contains("Nothing runs"));
    browser.click("button[value=retire]").await?;
    assert!(!browser.text("main").await?.contains("coder"));
    nothing_was_refused(&browser).await
}

/// Every page fits a phone, in light and in dark; the pictures are left in `target/pages/browser`.
#[tokio::test]
async fn whoever_found_a_credential_reports_it_by_keyboard_and_without_scripts() -> Done {
    let world = World::new().await;
    let browser = Browser::start().await?;
    let pass = world.sign_in("ada", "hallpass-cli").await;
    let pass = world.exchange(&pass, &[("resource", NOTES)]).await.expect("it may");
    browser.allow_scripts(false).await?;
    browser.open(&format!("{}/login", world.issuer_url)).await?;
    browser.click("footer a").await?;
    browser.wait_for_url(|url| url.ends_with("/acme/report")).await?;
    assert!(browser.has_focus("#token").await?, "it is where one begins");
    browser.type_into("#token", &pass.access[..40]).await?;
    browser.press(Key::Enter).await?;
    assert!(browser.text("#token-trouble").await?.contains("not all of it"));
    assert!(world.accepts(&pass.access).await);
    assert!(!browser.source().await?.contains(&pass.access[..40]), "what was typed is not shown again");
    browser.type_into("#token", &pass.access).await?;
    browser.type_into("#found", "build log 17").await?;
    browser.press(Key::Enter).await?;
    assert_eq!(browser.text("h1").await?, "Thank you");
    assert!(!world.accepts(&pass.access).await);
    let pictures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/pages/browser")).to_owned();
    std::fs::create_dir_all(&pictures)?;
    browser.screenshot(&pictures.join("reported.png")).await?;
    let complaints = browser.complaints().await?;
    assert!(complaints.iter().all(|complaint| complaint.contains("400")), "{complaints:#?}");
    Ok(())
}

#[tokio::test]
async fn every_page_fits_a_phone_in_light_and_dark() -> Done {
    let world = World::new().await;
    let browser = Browser::start().await?;
    let _authenticator = enrolled(&world, &browser).await?;
    let pictures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/pages/browser")).to_owned();
    std::fs::create_dir_all(&pictures)?;
    world.sign_in_bound("ada", "hallpass-cli").await;
    agents_at_work(&world).await;
    let at = |page: &str| format!("{}/{page}", world.issuer_url);
    let ada = format!("people?person={}", world.ada);
    for (name, address) in [
        ("setup", format!("{}/setup", world.base_url)),
        ("no-org", world.base_url.clone()),
        ("not-found", at("no/such/page")),
        ("enrol", at("enrol")),
        ("login", at("login?again=1")),
        ("report", at("report")),
        ("sessions", at("sessions")),
        ("agents", at("agents")),
        ("passkeys", at("passkeys")),
        ("people", at("people")),
        ("person", at(&ada)),
        ("device", at("device")),
        ("consent", authorize(&world, "http://127.0.0.1:53211/callback")),
        ("bad-client", at("authorize?client_id=nobody")),
    ] {
        browser.open(&address).await?;
        looks(&browser, &pictures, name).await?;
    }
    let provider = SetLoginProvider {
        org: world.org,
        provider: Some(NewProvider {
            issuer: "https://login.acme.example".into(),
            client_id: "hallpass".into(),
            secret: None,
            name: "Acme single sign-on".into(),
            newcomers: false,
        }),
    };
    world.change(provider).await;
    let host = DocumentHost::start().await;
    let allow = AllowDocuments {
        org: world.org,
        host: hallpass_model::wire::client_document::DocumentHost::parse(&host.host)?,
        owner: Owner::Person(world.ada),
        scopes: "notes:read".parse()?,
        environment: None,
    };
    world.change(allow).await?;
    let client = host.publish("/mcp.json", json!({ "client_name": "An editor with a name of many words" }));
    let asked = authorize(&world, "http://127.0.0.1:53211/callback").replace("hallpass-cli", &client);
    for (name, address) in [
        ("enrol-provider", at("enrol")),
        ("login-provider", at("login?again=1")),
        ("consent-document", asked),
    ] {
        browser.open(&address).await?;
        looks(&browser, &pictures, name).await?;
    }
    let (user_code, _) = waiting(&world).await;
    browser.open(&at(&format!("device?user_code={user_code}"))).await?;
    browser.click("main button").await?;
    looks(&browser, &pictures, "device-approval").await?;
    browser.click("button[value=yes]").await?;
    browser.wait_for_url(|url| url.contains("/device/answer")).await?;
    looks(&browser, &pictures, "device-answer").await?;
    let complaints = browser.complaints().await?;
    let expected = |complaint: &String| complaint.contains("404") || complaint.contains("400");
    assert!(complaints.iter().all(expected), "{complaints:#?}");
    Ok(())
}

pub(crate) async fn looks(browser: &Browser, pictures: &Path, name: &str) -> Done {
    let picture = |kind: &str| -> PathBuf { pictures.join(format!("{name}-{kind}.png")) };
    browser.screenshot(&picture("light")).await?;
    browser.prefer_dark(true).await?;
    browser.screenshot(&picture("dark")).await?;
    browser.resize(360, 1400).await?;
    browser.screenshot(&picture("phone-dark")).await?;
    browser.prefer_dark(false).await?;
    browser.screenshot(&picture("phone")).await?;
    let wide = "const page = document.documentElement; return page.scrollWidth - page.clientWidth";
    assert_eq!(browser.script(wide, json!([])).await?, json!(0), "{name} is wider than a phone");
    browser.resize(1280, 900).await?;
    Ok(())
}
