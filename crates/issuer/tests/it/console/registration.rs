//! The console's page of clients that register themselves.

use http::Method;
use serde_json::json;

use super::*;

const ALLOW: [(&str, &str); 4] =
    [("do", "allow"), ("owner", "person:ada"), ("scopes", "notes:read"), ("environment", "dev")];

/// Makes a token for so many.
async fn token(ada: &mut Visitor<'_>, uses: &str) -> String {
    let made = post(ada, "registration", &[("do", "token"), ("uses", uses), ("lifetime", "2h")]).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    let token = made.body.split("<code class=\"copy\">").nth(1).unwrap_or_else(|| panic!("{}", made.body));
    token.split('<').next().unwrap().to_owned()
}

async fn register(world: &World, token: &str, name: &str) -> Reply {
    let body = json!({
        "client_name": name,
        "redirect_uris": ["http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "none",
    });
    let request = world.http.request(Method::POST, world.at("register")).bearer_auth(token);
    world.send(request.header("content-type", "application/json").body(body.to_string())).await
}

#[tokio::test]
async fn programs_register_themselves_once_an_administrator_lets_them_and_are_seen() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let page = ada.get("/acme/admin/registration").await.body;
    assert!(page.contains("No program may register itself.") && page.contains("do=allow"), "{page}");
    for not_yet in ["do=token", "do=change", "do=forbid"] {
        assert!(!page.contains(not_yet), "{not_yet}: {page}");
    }
    let early = post(&mut ada, "registration", &[("do", "token")]).await;
    assert_eq!(early.status, StatusCode::NOT_FOUND, "{}", early.body);

    done(&mut ada, "registration", &ALLOW).await;
    let page = ada.get("/acme/admin/registration").await.body;
    for said in ["/acme/register", "person ada", "notes:read", "dev", "None.", "do=token", "do=forbid"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!page.contains("do=allow"), "{page}");
    let anew = ada.get("/acme/admin/registration?do=change").await.body;
    for kept in ["value=\"person:ada\"", "notes:read</textarea>", "value=\"dev\""] {
        assert!(anew.contains(kept), "what is so stands there already: {kept}: {anew}");
    }

    let wrong = post(&mut ada, "registration", &[("do", "token"), ("uses", "many")]).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(wrong.body.contains("is no number: “many”"), "{}", wrong.body);
    let token = token(&mut ada, "2").await;
    assert!(token.starts_with("hpi_"), "{token}");
    let page = ada.get("/acme/admin/registration").await.body;
    assert!(
        page.contains("Uses left of the token</dt><dd>2<") && !page.contains(&token),
        "it is shown once: {page}"
    );

    let registered = register(&world, &token, HOSTILE).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{}", registered.body);
    let id = registered.json()["client_id"].as_str().unwrap().to_owned();
    let page = ada.get("/acme/admin/registration").await.body;
    assert!(page.contains("Uses left of the token</dt><dd>1<"), "{page}");
    assert!(page.contains(&format!("href=\"/acme/admin/clients?of={id}\"")), "{page}");
    assert!(page.contains("&#60;script&#62;alert(1)") && !page.contains("<script>alert"), "{page}");

    done(&mut ada, "registration", &[("do", "forbid")]).await;
    assert_eq!(register(&world, &token, "Another").await.status, StatusCode::FORBIDDEN);
    let page = ada.get("/acme/admin/registration?done=forbid").await.body;
    assert!(
        page.contains("No program may register itself.") && page.contains("Those that did stay."),
        "{page}"
    );
    assert_eq!(ada.get(&format!("/acme/admin/clients?of={id}")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_auditor_sees_who_registered_and_changes_nothing_and_nobody_elsewhere_sees_it() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    done(&mut ada, "registration", &ALLOW).await;
    let token = token(&mut ada, "1").await;
    register(&world, &token, "An editor").await;
    let mut grace = grace_as(&world, Some(TeamRole::Auditor)).await;
    let page = grace.get("/acme/admin/registration").await.body;
    assert!(page.contains("An editor") && !page.contains("do="), "{page}");
    for action in ["token", "change", "forbid", "allow"] {
        let refused = post(&mut grace, "registration", &[("do", action)]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{action}");
    }
    let mut bob = bob_of_other(&world).await;
    let page = bob.get("/other/admin/registration").await.body;
    assert!(page.contains("No program may register itself.") && !page.contains("An editor"), "{page}");
}
