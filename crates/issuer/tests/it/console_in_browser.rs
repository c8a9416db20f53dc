//! The console in a real Chromium: what an administrator sees, presses and gets, once by keyboard alone.

use std::path::Path;

use hallpass_model::agent::{AgentKind, Budget};
use hallpass_model::client::ClientKind;
use hallpass_model::jose::Typ;
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::trust::{IssuerKeys, Preset, Rule};
use hallpass_model::wire::oauth::{Scopes, token_type};
use hallpass_store::{AddApiKey, AddClient, AddTrust, RegisterAgent};
use hallpass_testkit::World;
use hallpass_testkit::browser::{Browser, Key};
use hallpass_testkit::outside_issuer::OutsideIssuer;
use hallpass_testkit::world::NOTES;

use crate::browser::{Done, enrolled, looks, nothing_was_refused};

/// Where what the pages look like is left.
fn pictures() -> std::io::Result<&'static Path> {
    let pictures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/pages/browser"));
    std::fs::create_dir_all(pictures)?;
    Ok(pictures)
}

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
    let pictures = pictures()?;

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
    let pictures = pictures()?;
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

#[tokio::test]
async fn an_administrator_lets_programs_register_and_says_where_keys_rest() -> Done {
    let world = World::new().await;
    let browser = Browser::start().await?;
    let _authenticator = enrolled(&world, &browser).await?;
    let pictures = pictures()?;

    // By keyboard alone.
    browser.open(&world.at("admin")).await?;
    tab_to(&browser, ".tabs a[href='/acme/admin/registration']").await?;
    browser.press(Key::Enter).await?;
    looks(&browser, pictures, "console-no-registration").await?;
    tab_to(&browser, "a[href='/acme/admin/registration?do=allow&of=']").await?;
    browser.press(Key::Enter).await?;
    tab_to(&browser, "#owner").await?;
    browser.type_into("#owner", "person:ada").await?;
    tab_to(&browser, "#scopes").await?;
    browser.type_into("#scopes", "notes:read").await?;
    tab_to(&browser, "form.stack button").await?;
    browser.press(Key::Space).await?;
    browser.wait_for_url(|url| url.ends_with("/acme/admin/registration?done=allow")).await?;
    browser.click("a[href*='do=token']").await?;
    browser.type_into("#uses", "2").await?;
    looks(&browser, pictures, "console-registration-token").await?;
    browser.click("form.stack button").await?;
    let token = browser.text("code.copy").await?;
    assert!(token.starts_with("hpi_"), "{token}");
    let request = world.http.post(world.at("register")).bearer_auth(&token);
    let body = r#"{"client_name":"An editor","redirect_uris":["http://127.0.0.1/callback"],"token_endpoint_auth_method":"none"}"#;
    let reply = world.send(request.header("content-type", "application/json").body(body)).await;
    assert_eq!(reply.status, http::StatusCode::CREATED, "{}", reply.body);
    browser.click("main a.button").await?;
    let page = browser.text("main").await?;
    assert!(page.contains("An editor") && !page.contains(&token), "{page}");
    looks(&browser, pictures, "console-registration").await?;

    browser.open(&world.at("admin/org?do=rungs")).await?;
    for rung in ["tpm", "keychain"] {
        browser.click(&format!("label[for='rungs.{rung}']")).await?;
    }
    looks(&browser, pictures, "console-rungs").await?;
    browser.click("form.stack button").await?;
    browser.wait_for_url(|url| url.ends_with("/acme/admin/org?done=rungs")).await?;
    let page = browser.text("main").await?;
    assert!(page.contains("keychain") && page.contains("tpm"), "{page}");
    nothing_was_refused(&browser).await
}

/// A world with a job's trust and a key that two machines use, and a token of the job's, as another branch of it has.
async fn with_a_trust_and_a_key() -> Result<(World, String), Box<dyn std::error::Error>> {
    let world = World::new().await;
    let outside = OutsideIssuer::start().await;
    let scopes = Scopes::parse("notes:read")?;
    let deployer = AddClient { scopes: scopes.clone(), ..world.new_client("deployer", ClientKind::Ci) };
    let client = world.add_client(deployer).await;
    let rule = Rule {
        preset: Preset::Gitlab,
        issuer: outside.url().to_owned(),
        audience: world.issuer_url.clone(),
        conditions: vec!["project_id=20".parse()?, "ref_path=refs/heads/main".parse()?],
    };
    let (handle, environment) = ("site".parse()?, "dev".parse()?);
    let (org, keys, longest) = (world.org, IssuerKeys::Discovered, Lifetime::minutes(5));
    world
        .change(AddTrust { org, handle, client, environment, rule, keys, scopes: scopes.clone(), longest })
        .await?;
    let add = AddApiKey {
        org: world.org,
        handle: "nightly".parse()?,
        client,
        owner: None,
        scopes,
        resources: vec![NOTES.into()],
        networks: Vec::new(),
        lasts: None,
        direct: None,
        exception: None,
    };
    let key = world.change(add).await?;
    for (name, class) in [("runner-7", "build-agent"), ("graces-laptop", "laptop")] {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", key.secret.expose_text()),
            ("subject_token_type", token_type::API_KEY),
            ("device_name", name),
            ("device_class", class),
            ("purpose", "nightly report"),
        ];
        world.ask_token(&form, None).await;
    }
    let now = world.clock.now().seconds();
    let claims = serde_json::json!({
        "iss": outside.url(), "aud": world.issuer_url, "sub": "project_path:acme/site:ref_type:branch:ref:test",
        "project_id": "20", "ref_path": "refs/heads/a-branch-with-a-long-name-that-has-to-be-broken", "jti": "1",
        "iat": now, "nbf": now - 5, "exp": now + 300,
    });
    let token = outside.sign(Typ::IdToken, &claims);
    Ok((world, token))
}

#[tokio::test]
async fn a_token_is_tested_and_a_key_is_left_behind() -> Done {
    let (world, token) = with_a_trust_and_a_key().await?;
    let browser = Browser::start().await?;
    let _authenticator = enrolled(&world, &browser).await?;
    let pictures = pictures()?;
    browser.open(&world.at("admin/trusts?of=site")).await?;
    browser.click("a[href*='do=test']").await?;
    browser.type_into("#token", &token).await?;
    browser.click("form.stack button").await?;
    let page = browser.text("main").await?;
    assert!(page.contains("It is not let in") && page.contains("refs/heads/main"), "{page}");
    let whole = browser.script("return document.documentElement.outerHTML", serde_json::json!([])).await?;
    let signature = token.rsplit('.').next().unwrap_or_default();
    assert!(!whole.to_string().contains(signature) && !browser.url().await?.contains(signature));
    looks(&browser, pictures, "console-weighed").await?;
    browser.click("main .row a.button").await?;
    let empty =
        browser.script("return document.querySelector('#token').value", serde_json::json!([])).await?;
    assert_eq!(empty, "", "it is not filled in again");
    looks(&browser, pictures, "console-test").await?;

    browser.open(&world.at("admin/keys?of=nightly")).await?;
    browser.click("a[href*='do=migrate']").await?;
    browser.click("form.stack button").await?;
    browser.wait_for_url(|url| url.ends_with("/acme/admin/keys?of=nightly&done=migrate")).await?;
    let page = browser.text("main").await?;
    assert!(page.contains("workload federation, by a trust") && page.contains("not once"), "{page}");
    looks(&browser, pictures, "console-key").await?;
    browser.click("dl a[href*='lineage']").await?;
    assert!(browser.text("svg .node.asked .kicker-line").await?.starts_with("key"));
    looks(&browser, pictures, "console-client-lineage").await?;
    nothing_was_refused(&browser).await?;

    // A refusal names the page that helps.
    browser.open(&world.at("admin/trusts?do=add")).await?;
    for (field, text) in [
        ("#handle", "other"),
        ("#client", "none"),
        ("#environment", "dev"),
        ("#when", "repository_owner_id=1\nrepository_id=2\nref=refs/heads/main"),
    ] {
        browser.type_into(field, text).await?;
    }
    browser.click("form.stack button").await?;
    looks(&browser, pictures, "console-refused").await?;
    browser.click("#error a").await?;
    browser.wait_for_url(|url| url.ends_with("/acme/admin/clients?do=add")).await?;
    Ok(())
}
