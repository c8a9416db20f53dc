//! The table of roles, walked: each act is tried by everybody who can reach the issuer over HTTP, and what came of it is
//! looked up in the store. The operator's side stands at the admin socket.

use hallpass_model::id::PrincipalId;
use hallpass_model::jose::SigningKey;
use hallpass_model::principal::Owner;
use hallpass_model::role::{Act, Role, TABLE, TeamRole};
use hallpass_model::time::Lifetime;
use hallpass_store::{AddTeam, DeviceState, OwnedId, SetTeamRole, TeamRoleSet, TransferOwned, Which};
use hallpass_testkit::client::encode;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Visitor, World};
use http::StatusCode;
use serde_json::json;

/// What must be so, written down a second time: a line that is taken out of the table, or put in, is noticed.
const EXPECTED: [(Act, &[Role]); 18] = [
    (Act::SetOrg, &[Role::Administrator]),
    (Act::ReadDirectory, &[Role::Administrator, Role::Responder, Role::Auditor]),
    (Act::ReadThing, &[Role::Administrator, Role::Responder, Role::Auditor, Role::Owner]),
    (Act::RunDirectory, &[Role::Administrator]),
    (Act::RotateProof, &[Role::Administrator, Role::Owner]),
    (Act::TakeOutOfUse, &[Role::Administrator, Role::Responder, Role::Owner]),
    (Act::TakePersonOutOfUse, &[Role::Administrator, Role::Responder]),
    (Act::RemoveLostPasskey, &[Role::Administrator]),
    (Act::EndAnySession, &[Role::Administrator, Role::Responder]),
    (Act::ReadLedger, &[Role::Administrator, Role::Responder, Role::Auditor]),
    (Act::ReadOwn, &[Role::Person]),
    (Act::EndOwnSession, &[Role::Person]),
    (Act::RunOwnAgents, &[Role::Person]),
    (Act::RunOwnPasskeys, &[Role::Person]),
    (Act::ApproveForOneself, &[Role::Person]),
    (Act::RevokeOwnToken, &[Role::Client]),
    (Act::Introspect, &[Role::Client]),
    (Act::ReadMetadata, &[Role::Anyone]),
];

/// Somebody before the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Ada, in her browser.
    Administrator,
    /// Grace, in hers, whose team may stop anything.
    Responder,
    /// Grace, whose team may see everything.
    Auditor,
    /// Grace, who answers for `notes-api`.
    Owner,
    /// Grace, and nothing besides.
    Person,
    /// A program that can prove who it is.
    Client,
    /// A browser in which nobody is logged in.
    Stranger,
}

const EVERYBODY: [Who; 7] =
    [Who::Administrator, Who::Responder, Who::Auditor, Who::Owner, Who::Person, Who::Client, Who::Stranger];

impl Who {
    /// What they are. An administrator is a person, too.
    fn roles(self) -> &'static [Role] {
        match self {
            Self::Administrator => &[Role::Administrator, Role::Person, Role::Anyone],
            Self::Responder => &[Role::Responder, Role::Person, Role::Anyone],
            Self::Auditor => &[Role::Auditor, Role::Person, Role::Anyone],
            Self::Owner => &[Role::Owner, Role::Person, Role::Anyone],
            Self::Person => &[Role::Person, Role::Anyone],
            Self::Client => &[Role::Client, Role::Anyone],
            Self::Stranger => &[Role::Anyone],
        }
    }
}

/// Somebody at work: what they try, and whether it came to anything.
struct Trial<'w> {
    world: &'w World,
    who: Who,
    browser: Visitor<'w>,
    /// Whose things they try it on, where it is about one's own.
    own: (&'static str, PrincipalId),
    /// Somebody else, for what is done to others.
    other: PrincipalId,
}

impl<'w> Trial<'w> {
    async fn of(world: &'w World, who: Who) -> Self {
        let grace = world.add_person("grace").await;
        let linus = world.add_person("linus").await;
        world.visitor_as(linus).await;
        let (own, browser) = match who {
            Who::Administrator => (("ada", world.ada), world.visitor_as(world.ada).await),
            Who::Responder | Who::Auditor | Who::Owner | Who::Person => {
                (("grace", grace), world.visitor_as(grace).await)
            }
            Who::Client | Who::Stranger => (("grace", grace), world.visitor()),
        };
        let handle = "graces".parse().expect("it is a short name");
        let team = world.change(AddTeam { org: world.org, handle, members: vec![grace] }).await.unwrap();
        let role = |role| SetTeamRole { org: world.org, team, role: Some(role) };
        match who {
            Who::Responder => assert_eq!(world.change(role(TeamRole::Responder)).await, TeamRoleSet::Done),
            Who::Auditor => assert_eq!(world.change(role(TeamRole::Auditor)).await, TeamRoleSet::Done),
            Who::Owner => {
                let client =
                    world.store.find_client_by_handle(world.org, "notes-api").await.unwrap().unwrap();
                let which = Which::These(vec![OwnedId::Client(client.id)]);
                world.change(TransferOwned { org: world.org, which, to: Owner::Team(team) }).await.unwrap();
            }
            Who::Administrator | Who::Person | Who::Client | Who::Stranger => {}
        }
        Self { world, who, browser, own, other: linus }
    }

    /// Asks the administrators' API, by whatever token they can come by. Whether it was done.
    async fn api(&self, verb: &str, question: serde_json::Value) -> bool {
        let world = self.world;
        let token = match self.who {
            Who::Stranger => String::new(),
            Who::Client => self.service_token().await,
            _ => {
                world.sign_in_for(self.own.0, "hallpass-cli", &[NOTES], "openid hallpass:admin").await.access
            }
        };
        let request =
            world.http.post(world.at(&format!("api/admin/{verb}"))).json(&question).bearer_auth(token);
        world.send(request).await.status == StatusCode::OK
    }

    async fn post(&mut self, page: &str, form: &[(&str, &str)]) -> StatusCode {
        // Whoever is not let in there brings the token of the login page, for want of another.
        self.browser.get("/acme/login").await;
        self.browser.get(&format!("/acme/{page}")).await;
        self.browser.post(&format!("/acme/{page}"), form).await.status
    }

    /// What is done in the console to somebody else.
    async fn people(&mut self, form: &[(&str, &str)]) {
        self.post("admin/people", &[form, &[("of", "linus")]].concat()).await;
    }

    /// A client's way to say who it is, which others do not have.
    fn proof(&self) -> Vec<(&'static str, String)> {
        match self.who {
            Who::Client => self.world.assertion("notes-api", &self.world.notes_api_key).into(),
            _ => Vec::new(),
        }
    }

    async fn ask(&self, path: &str, form: &[(&str, &str)]) -> serde_json::Value {
        let proof = self.proof();
        let proof: Vec<_> = proof.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let cookies: Vec<_> =
            self.browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.world.http.post(self.world.at(path)).body(encode(&[form, &proof].concat()));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.world.send(request.header("cookie", cookies.join("; "))).await.json()
    }

    /// Tries it. Whether it was done.
    async fn does(&mut self, act: Act) -> bool {
        let world = self.world;
        match act {
            Act::RunDirectory => {
                self.people(&[("do", "add"), ("name", "Mallory"), ("handle", "mallory")]).await;
                world.store.find_person_by_handle(world.org, "mallory").await.unwrap().is_some()
            }
            Act::RemoveLostPasskey => {
                let lost = world.store.list_passkeys(self.other).await.unwrap()[0].id.to_string();
                self.people(&[("do", "remove-passkey"), ("which", &lost)]).await;
                world.store.list_passkeys(self.other).await.unwrap().is_empty()
            }
            Act::EndAnySession => {
                let login = world.sign_in("linus", "hallpass-cli").await;
                self.people(&[("do", "end")]).await;
                self.api("cut", json!({ "axis": "principal", "id": self.other.to_string() })).await;
                world.refresh(&login).await.is_err()
            }
            Act::SetOrg => {
                self.api("org.limits", json!({ "access_token": "3m" })).await;
                let org = world.store.find_org(world.org).await.unwrap().unwrap();
                org.limits.access_token == Some(Lifetime::minutes(3))
            }
            Act::ReadDirectory => self.api("team.list", json!({})).await,
            Act::ReadThing => self.api("client.show", json!({ "handle": "notes-api" })).await,
            Act::ReadLedger => self.api("ledger.list", json!({})).await,
            Act::ReadOwn => self.api("owner.list", json!({})).await,
            Act::RotateProof => {
                let jwks = json!({ "keys": [SigningKey::generate().public()] });
                self.api("client.key.add", json!({ "handle": "notes-api", "jwks": jwks })).await
            }
            Act::TakeOutOfUse => {
                self.api("client.disable", json!({ "handle": "notes-api" })).await;
                let client =
                    world.store.find_client_by_handle(world.org, "notes-api").await.unwrap().unwrap();
                !client.standing.is_active()
            }
            Act::TakePersonOutOfUse => {
                self.api("person.disable", json!({ "handle": "linus" })).await;
                !world.store.find_person(self.other).await.unwrap().unwrap().standing.is_active()
            }
            Act::EndOwnSession => {
                let login = world.sign_in(self.own.0, "hallpass-cli").await;
                let session = login.session().to_string();
                self.post("sessions", &[("act", "end"), ("session", &session)]).await;
                world.refresh(&login).await.is_err()
            }
            Act::RunOwnAgents => {
                let own = world.sign_in(self.own.0, "hallpass-cli").await;
                let request = world.http.post(world.at("api/agents")).bearer_auth(&own.access);
                let form = encode(&[("name", "coder"), ("scope", "notes:read")]);
                let form = request.header("content-type", "application/x-www-form-urlencoded").body(form);
                world.send(form).await;
                let asked = [("resource", NOTES), ("agent", "coder"), ("purpose", "a test of roles")];
                let pass = world.exchange(&own, &asked).await.unwrap();
                self.post("agents", &[("act", "retire"), ("agent", "coder")]).await;
                !world.accepts(&pass.access).await
            }
            Act::RunOwnPasskeys => {
                self.browser.get("/acme/login").await;
                self.browser.get("/acme/passkeys").await;
                let had = world.store.list_passkeys(self.own.1).await.unwrap().len();
                self.browser.make_passkey("/acme/passkeys", &[("name", "second")]).await;
                world.store.list_passkeys(self.own.1).await.unwrap().len() > had
            }
            Act::ApproveForOneself => self.approves().await,
            Act::RevokeOwnToken => {
                let pass = self.service_token().await;
                self.ask("revoke", &[("token", &pass)]).await;
                !self.world_takes(&pass).await
            }
            Act::Introspect => {
                let login = world.sign_in("linus", "hallpass-cli").await;
                let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
                self.ask("introspect", &[("token", &pass.access)]).await["active"] == true
            }
            Act::ReadMetadata => {
                self.browser.get("/acme/.well-known/openid-configuration").await.status == StatusCode::OK
            }
            Act::RunOrgs
            | Act::ErasePersonal
            | Act::RecoverAdministrator
            | Act::ApproveLocally
            | Act::BackUp => {
                unreachable!("{act:?} is done at the admin socket alone")
            }
        }
    }

    /// By the device page and by the consent page: both or neither.
    async fn approves(&mut self) -> bool {
        let world = self.world;
        let started = world.start_device("hallpass-cli", &[("scope", "openid")]).await.json();
        let user_code = started["user_code"].as_str().unwrap();
        self.post("device", &[("code", user_code), ("answer", "yes")]).await;
        let grant = world.store.find_device_by_user_code(world.org, user_code).await.unwrap().unwrap();

        let query = encode(&[
            ("response_type", "code"),
            ("client_id", "hallpass-cli"),
            ("redirect_uri", "http://127.0.0.1:49152/callback"),
            ("scope", "openid"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ]);
        let asked = self.browser.get(&format!("/acme/authorize?{query}")).await;
        let asked = asked.header("location").unwrap().replace(&world.base_url, "");
        let request = asked.split_once("request=").unwrap().1.to_owned();
        self.browser.get(&asked).await;
        let said = self.browser.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
        let has_code = said.header("location").is_some_and(|location| location.contains("code="));
        assert_eq!(
            has_code,
            matches!(grant.state, DeviceState::Approved { .. }),
            "the two ways of saying yes"
        );
        has_code
    }

    async fn service_token(&self) -> String {
        let [kind, signed] = self.world.assertion("notes-api", &self.world.notes_api_key);
        let form = [("grant_type", "client_credentials"), (kind.0, &*kind.1), (signed.0, &*signed.1)];
        self.world.post("token", &form).await.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// Whether a service's own token still says who it is.
    async fn world_takes(&self, token: &str) -> bool {
        let introspect = self.world.http.post(self.world.at("introspect")).body(encode(&[("token", "x")]));
        let introspect = introspect.header("content-type", "application/x-www-form-urlencoded");
        self.world.send(introspect.bearer_auth(token)).await.status == StatusCode::OK
    }
}

#[tokio::test]
async fn the_table_of_roles_decides_what_each_page_and_endpoint_does_for_whom() {
    let mut wrong = Vec::new();
    for (act, expected) in EXPECTED {
        for who in EVERYBODY {
            let world = World::new().await;
            let done = Trial::of(&world, who).await.does(act).await;
            let may = who.roles().iter().any(|role| expected.contains(role));
            if done != may {
                wrong.push(format!("{who:?} {} {act:?}", if done { "could" } else { "could not" }));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_walked_is_the_whole_table_but_for_the_operator() {
    let beyond_the_socket: Vec<(Act, Vec<Role>)> = TABLE
        .iter()
        .map(|(act, roles)| (*act, roles.iter().copied().filter(|role| *role != Role::Operator).collect()))
        .filter(|(_, roles): &(Act, Vec<Role>)| !roles.is_empty())
        .collect();
    assert_eq!(beyond_the_socket, EXPECTED.map(|(act, roles)| (act, roles.to_vec())));
}

/// Nobody is told why in private: an administrator can see who tried.
#[tokio::test]
async fn what_the_table_refuses_is_on_record() {
    let world = World::new().await;
    let grace = world.add_person("grace").await;
    let mut browser = world.visitor_as(grace).await;
    let before = world.ledger_size().await;
    assert_eq!(browser.get("/acme/admin").await.status, StatusCode::FORBIDDEN);
    assert_eq!(world.ledger_from(before).await, ["denied: role"]);
}
