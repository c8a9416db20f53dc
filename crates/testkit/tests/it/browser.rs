//! Does the driver do what the tests of our pages lean on? Asked of a page of our own, with a real passkey.

use axum::response::Html;
use axum::routing::get;
use hallpass_testkit::browser::{Browser, BrowserError, Key};
use serde_json::json;

const PAGE: &str = r#"<!doctype html><html lang="en"><title>A door</title>
<style>body { background: white } @media (prefers-color-scheme: dark) { body { background: black } }</style>
<form action="/said" method="get"><input name="word" id="word"><button id="say">Say</button></form>
<noscript><p id="without">no scripts here</p></noscript>
<script>document.title = "A door, with scripts"</script>"#;

async fn serve() -> String {
    let said = |uri: axum::http::Uri| async move {
        (
            [("set-cookie", "seen=yes; HttpOnly; SameSite=Lax")],
            Html(format!("<p id=heard>{}</p>", uri.query().unwrap_or_default())),
        )
    };
    let pages = axum::Router::new().route("/", get(|| async { Html(PAGE) })).route("/said", get(said));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    format!("http://localhost:{port}")
}

#[tokio::test]
async fn a_person_can_read_type_tab_and_answer() -> Result<(), BrowserError> {
    let (site, browser) = (serve().await, Browser::start().await?);
    browser.open(&site).await?;
    assert_eq!(browser.title().await?, "A door, with scripts");
    assert!(browser.source().await?.contains("id=\"word\""));
    assert!(!browser.has("#heard").await?);

    browser.press(Key::Tab).await?;
    assert!(browser.has_focus("#word").await?);
    browser.type_into("#word", "friend").await?;
    browser.press(Key::Tab).await?;
    assert!(browser.has_focus("#say").await?);
    browser.press(Key::Enter).await?;
    browser.wait_for_url(|url| url.ends_with("/said?word=friend")).await?;
    assert_eq!(browser.text("#heard").await?, "word=friend");

    let cookies = browser.cookies().await?;
    assert_eq!((&cookies[0]["name"], &cookies[0]["httpOnly"]), (&json!("seen"), &json!(true)));
    browser.forget_cookies().await?;
    assert!(browser.cookies().await?.is_empty());
    assert!(
        browser.click("#nowhere").await.is_err_and(|error| error.to_string().contains("no such element"))
    );
    Ok(())
}

#[tokio::test]
async fn a_page_is_seen_dark_narrow_and_without_scripts() -> Result<(), BrowserError> {
    let (site, browser) = (serve().await, Browser::start().await?);
    browser.open(&site).await?;
    let background = "return getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.script(background, json!([])).await?, json!("rgb(255, 255, 255)"));
    browser.prefer_dark(true).await?;
    assert_eq!(browser.script(background, json!([])).await?, json!("rgb(0, 0, 0)"));

    browser.resize(360, 740).await?;
    assert_eq!(browser.script("return [innerWidth, innerHeight]", json!([])).await?, json!([360, 740]));
    let picture = tempfile::NamedTempFile::new()?;
    browser.screenshot(picture.path()).await?;
    let png = std::fs::read(picture.path())?;
    assert_eq!(&png[..4], b"\x89PNG");
    assert_eq!(png[16..24], [0, 0, 1, 104, 0, 0, 2, 228]); // IHDR: 360 by 740

    browser.allow_scripts(false).await?;
    browser.open(&site).await?;
    assert_eq!(browser.title().await?, "A door");
    assert_eq!(browser.text("#without").await?, "no scripts here");
    browser.type_into("#word", "still").await?;
    browser.click("#say").await?;
    assert_eq!(browser.text("#heard").await?, "word=still");
    Ok(())
}

const CREATE: &str = "
    const credential = await navigator.credentials.create({ publicKey: {
        rp: { id: 'localhost', name: 'A door' },
        user: { id: new Uint8Array([1, 2, 3]), name: 'alice', displayName: 'Alice' },
        challenge: new Uint8Array(32),
        pubKeyCredParams: [{ type: 'public-key', alg: -7 }],
        authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
    } });
    return credential.id;";
const USE: &str = "
    const credential = await navigator.credentials.get({ publicKey: {
        rpId: 'localhost', challenge: new Uint8Array(32), userVerification: 'required',
    } });
    return credential.id;";

#[tokio::test]
async fn a_passkey_is_made_used_moved_and_lost() -> Result<(), BrowserError> {
    let (site, browser) = (serve().await, Browser::start().await?);
    browser.open(&site).await?;
    let authenticator = browser.authenticator().await?;
    let made = browser.script_async(CREATE, json!([])).await?;
    assert_eq!(browser.script_async(USE, json!([])).await?, made);
    let held = authenticator.credentials().await?;
    assert_eq!((held.len(), &held[0]["rpId"]), (1, &json!("localhost")));

    authenticator.verify_owner(false).await?;
    let refused = browser.script_async(USE, json!([])).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("NotAllowedError")));
    authenticator.unplug().await?;

    let elsewhere = browser.authenticator().await?;
    elsewhere.insert(&held[0]).await?;
    assert_eq!(browser.script_async(USE, json!([])).await?, made);
    elsewhere.lose(made.as_str().expect("an id is text")).await?;
    assert!(elsewhere.credentials().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn nothing_of_a_browser_outlives_it() -> Result<(), BrowserError> {
    let browser = Browser::start().await?;
    let profile = browser.profile().to_owned();
    let running = || {
        let commands = std::fs::read_dir("/proc").expect("procfs").flatten();
        commands
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .any(|line| String::from_utf8_lossy(&line).contains(&*profile.to_string_lossy()))
    };
    assert!(running() && profile.exists());
    drop(browser);
    assert!(!running(), "a process still names its profile");
    assert!(!profile.exists(), "its profile is still there");
    Ok(())
}
