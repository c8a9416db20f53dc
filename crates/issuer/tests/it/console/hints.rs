//! What the console says to do next.

use super::*;

/// The address that the last link of this name leads to: those of the navigation stand before it.
fn leads_to(page: &str, label: &str) -> Option<String> {
    let (before, _) = page.rsplit_once(&format!("\">{label}</a>"))?;
    Some(before.rsplit("href=\"").next()?.replace("&#38;", "&"))
}

#[tokio::test]
async fn what_is_to_be_done_next_names_the_console_s_own_page_and_leads_there() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    // What is named and is not there.
    let absent = ada.get("/acme/admin/trusts?of=none").await;
    assert!(absent.body.contains("“Trusts” shows them."), "{}", absent.body);
    assert_eq!(leads_to(&absent.body, "Trusts").as_deref(), Some("/acme/admin/trusts"), "{}", absent.body);
    // What another page adds.
    let trust = [
        ("do", "add"),
        ("handle", "site"),
        ("client", "none"),
        ("preset", "github"),
        ("environment", "prod"),
        ("when", "repository_owner_id=1\r\nrepository_id=2\r\nref=refs/heads/main"),
    ];
    let back = post(&mut ada, "trusts", &trust).await;
    let add = leads_to(&back.body, "Add a client");
    assert_eq!(add.as_deref(), Some("/acme/admin/clients?do=add"), "{}", back.body);
    // What is said on the page of the thing.
    add_trust_and_key(&world, &mut ada).await;
    done(&mut ada, "keys", &[("do", "migrate"), ("of", "nightly"), ("end", "2027-01-20")]).await;
    let late = post(&mut ada, "keys", &[("do", "rotate"), ("of", "nightly"), ("lasts", "20d")]).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN, "{}", late.body);
    assert_eq!(
        leads_to(&late.body, "API keys").as_deref(),
        Some("/acme/admin/keys?of=nightly"),
        "{}",
        late.body
    );
    // What is done on the page where they are, with the thing that they look at.
    world.add_person("linus").await;
    done(&mut ada, "clients", &[("do", "transfer"), ("of", "notes-api"), ("to", "person:linus")]).await;
    done(&mut ada, "people", &[("do", "disable"), ("of", "linus")]).await;
    let unowned = post(&mut ada, "clients", &[("do", "enable"), ("of", "notes-api")]).await;
    let transfer = leads_to(&unowned.body, "Have somebody else answer for it");
    let there = "/acme/admin/clients?do=transfer&of=notes-api";
    assert_eq!(transfer.as_deref(), Some(there), "{}", unowned.body);
    // What is asked for in the form itself.
    let key = [
        ("do", "add"),
        ("handle", "scale"),
        ("client", "worker"),
        ("scopes", "notes:read"),
        ("resources", NOTES),
    ];
    done(&mut ada, "org", &[("do", "require"), ("static_by_exception", "yes")]).await;
    let back = post(&mut ada, "keys", &key).await;
    assert!(back.body.contains("“Exception because” and “Exception until”"), "{}", back.body);
    for page in [&absent, &back, &late] {
        assert!(!page.body.contains("hallpass admin"), "{}", page.body);
    }
    // What lists of a page say.
    let unmet = ada.get("/acme/admin/org").await.body;
    assert!(
        unmet.contains("to something better: <a href=\"/acme/admin/keys?of=nightly\">API keys</a>."),
        "{unmet}"
    );
}

#[tokio::test]
async fn a_page_that_they_may_not_open_is_not_named() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    add_trust_and_key(&world, &mut ada).await;
    done(&mut ada, "org", &[("do", "require"), ("static_by_exception", "yes")]).await;
    let mut grace = grace_as(&world, Some(TeamRole::Auditor)).await;
    let unmet = grace.get("/acme/admin/org").await.body;
    assert!(unmet.contains("“hallpass admin key migrate nightly”"), "{unmet}");
    assert!(!unmet.contains("do="), "{unmet}");
    let hostile = grace.get(&format!("/acme/admin/trusts?{}", encode(&[("of", HOSTILE)]))).await.body;
    assert!(!hostile.contains("<script>alert"), "{hostile}");
}
