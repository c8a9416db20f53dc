//! The console in a real Chromium: what an administrator sees, presses and gets, once by keyboard alone.

use std::path::Path;

use hallpass_model::agent::{AgentKind, Budget};
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::RegisterAgent;
use hallpass_testkit::World;
use hallpass_testkit::browser::{Browser, Key};
use hallpass_testkit::world::NOTES;

use crate::browser::{Done, enrolled, looks, nothing_was_refused};

/// Tabs on until the element has the focus.
async fn tab_to(browser: &Browser, css: &str) -> Done {
    for _ in 0..60 {
        if browser.has_focus(css).await? {
            return Ok(());
        }
        browser.press(Key::Tab).await?;
    }
    Err(format!("{css} is not reached by Tab").into())
}

#[tokio::test]
async fn an_administrator_adds_a_team_and_a_client_and_takes_it_out_of_use() -> Done {
    let world = World::new().await;
    let browser = Browser::start().await?;
    let _authenticator = enrolled(&world, &browser).await?;
    let pictures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/pages/browser"));
    std::fs::create_dir_all(pictures)?;

    // A team, by keyboard alone.
    browser.open(&world.at("sessions")).await?;
    tab_to(&browser, ".nav a[href='/acme/admin']").await?;
    browser.press(Key::Enter).await?;
    tab_to(&browser, ".tabs a[href='/acme/admin/teams']").await?;
    browser.press(Key::Enter).await?;
    tab_to(&browser, "a[href='/acme/admin/teams?do=add']").await?;
    browser.press(Key::Enter).await?;
    tab_to(&browser, "#handle").await?;
    browser.type_into("#handle", "platform").await?;
    tab_to(&browser, "#members").await?;
    browser.type_into("#members", "ada").await?;
    tab_to(&browser, "form.stack button").await?;
    browser.press(Key::Space).await?;
    browser.wait_for_url(|url| url.ends_with("/acme/admin/teams?of=platform&done=add")).await?;
    let page = browser.text("main").await?;
    assert!(page.contains("Added.") && page.contains("ada"), "{page}");

    // A client that has secrets, and one of these.
    browser.click(".tabs a[href='/acme/admin/clients']").await?;
    looks(&browser, pictures, "console-clients").await?;
    browser.click("a[href='/acme/admin/clients?do=add']").await?;
    let until = (world.clock.now() + Lifetime::days(20)).to_string();
    for (field, text) in [
        ("#handle", "billing"),
        ("#name", "Billing"),
        ("#owner", "team:platform"),
        ("#secrets_until", &until),
    ] {
        browser.type_into(field, text).await?;
    }
    browser.click("#kind option[value=service]").await?;
    looks(&browser, pictures, "console-add-client").await?;
    browser.click("form.stack button").await?;
    browser.wait_for_url(|url| url.ends_with("/acme/admin/clients?of=billing&done=add")).await?;
    browser.click("a[href*='do=rotate']").await?;
    browser.click("form.stack button").await?;
    let secret = browser.text("code.copy").await?;
    assert!(secret.starts_with("hps_"), "{secret}");
    assert!(!browser.url().await?.contains("hps_"));
    looks(&browser, pictures, "console-secret").await?;
    browser.click("main a.button").await?;
    browser.wait_for_url(|url| url.ends_with("/acme/admin/clients?of=billing")).await?;
    assert!(!browser.text("main").await?.contains(&secret));
    looks(&browser, pictures, "console-client").await?;

    // Out of use, once it was asked for a second time; and on record.
    browser.click("a[href*='do=disable']").await?;
    assert!(browser.text("main").await?.contains("stops working at once"));
    browser.click("form.stack button").await?;
    browser.wait_for_url(|url| url.contains("done=disable")).await?;
    assert!(browser.text("main").await?.contains("disabled"));
    browser.click(".tabs a[href='/acme/admin/ledger']").await?;
    let newest = browser.text(".entries > li").await?;
    assert!(newest.contains("by ada") && newest.contains("client billing disabled"), "{newest}");
    looks(&browser, pictures, "console-ledger").await?;
    nothing_was_refused(&browser).await
}

#[tokio::test]
async fn a_lineage_is_looked_at_and_a_run_ended_in_it() -> Done {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    for (agent, purpose) in [("coder", "Fix the build of the release"), ("tester", "Try it")] {
        let register = RegisterAgent {
            org: world.org,
            person: world.ada,
            handle: agent.parse()?,
            kind: AgentKind::Coding,
            scopes: Scopes::parse("notes:read")?,
            longest: Lifetime::hours(1),
            budget: Budget::default(),
        };
        world.change(register).await;
        let asked = [("resource", NOTES), ("agent", agent), ("purpose", purpose), ("lease", "true")];
        world.exchange(&login, &asked).await.map_err(|refused| format!("{refused:?}"))?;
    }
    let browser = Browser::start().await?;
    let _authenticator = enrolled(&world, &browser).await?;
    let pictures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/pages/browser"));
    std::fs::create_dir_all(pictures)?;
    browser.open(&world.at("admin/people?of=ada")).await?;
    looks(&browser, pictures, "console-person").await?;
    browser.click("section[aria-labelledby=part-2] a[href*='lineage']").await?;
    assert!(browser.text("svg .node.asked .kicker-line").await?.starts_with("session"));
    looks(&browser, pictures, "console-lineage").await?;
    browser.click(".branches a[href*='do=run']").await?;
    assert!(browser.text("main").await?.contains("everything below it"));
    browser.click("form.stack button").await?;
    browser.wait_for_url(|url| url.contains("done=run")).await?;
    assert!(browser.has("svg .node.cut").await?);
    nothing_was_refused(&browser).await
}
