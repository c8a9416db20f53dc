//! Somebody at the issuer's pages, without a browser: cookies kept, forms posted, passkeys made and used.
//!
//! A page is read for its form token and nothing else; what people see is tried with a real browser.

use std::collections::BTreeMap;

use hallpass_model::id::PrincipalId;
use hallpass_model::secret::{OneTimeLink, Secret};
use hallpass_store::{LinkPurpose, MakeLink};
use http::StatusCode;
use serde_json::Value;

use crate::client::{Reply, encode, send};
use crate::passkey::SoftPasskey;
use crate::world::World;

/// A browser's cookies, the passkey of whoever sits before it, and the form token it saw last.
pub struct Visitor<'w> {
    http: &'w reqwest::Client,
    base_url: &'w str,
    /// The cookies it keeps, by name.
    pub cookies: BTreeMap<String, String>,
    /// The passkey it logs in with.
    pub passkey: Option<SoftPasskey>,
    /// The token of the last form it was shown.
    pub csrf: String,
}

impl World {
    /// A browser that has been nowhere yet.
    pub fn visitor(&self) -> Visitor<'_> {
        Visitor::at(&self.http, &self.base_url)
    }

    /// A browser in which this person of `acme` has enrolled, and is logged in.
    pub async fn visitor_as(&self, person: PrincipalId) -> Visitor<'_> {
        let mut visitor = self.visitor();
        let link = self.link(LinkPurpose::Enrol { person }).await;
        let reply = visitor.enrol("acme", link.expose_text()).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
        visitor
    }

    /// A one-time link.
    pub async fn link(&self, purpose: LinkPurpose) -> Secret<OneTimeLink> {
        self.change(MakeLink { purpose }).await.expect("the person is active").link
    }
}

impl<'w> Visitor<'w> {
    /// A browser that has been nowhere yet, before the server at `base_url`. `http` follows no redirect.
    pub fn at(http: &'w reqwest::Client, base_url: &'w str) -> Self {
        Self { http, base_url, cookies: BTreeMap::new(), passkey: None, csrf: String::new() }
    }

    /// Goes to a path of the server, and reads the page there.
    pub async fn get(&mut self, path: &str) -> Reply {
        let request = self.http.get(format!("{}{path}", self.base_url)).header("accept", "text/html");
        self.send(request).await
    }

    /// Posts a form, with the token that was seen last, as a page of the server's own does.
    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Reply {
        let csrf = self.csrf.clone();
        let form = [&[("csrf", csrf.as_str())], form].concat();
        let origin = self.base_url;
        self.post_from(origin, path, &form).await
    }

    /// Posts a form as it is, as a page of `origin` does.
    pub async fn post_from(&mut self, origin: &str, path: &str, form: &[(&str, &str)]) -> Reply {
        let request = self.form(path, form).header("origin", origin).header("accept", "text/html");
        self.send(request).await
    }

    /// A form on its way, with nothing of a browser's about it yet.
    pub fn form(&self, path: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.base_url));
        request.header("content-type", "application/x-www-form-urlencoded").body(encode(form))
    }

    /// Sends a request with the cookies, and keeps those that come back.
    pub async fn send(&mut self, request: reqwest::RequestBuilder) -> Reply {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) };
        let reply = send(request).await;
        for set in reply.headers.get_all("set-cookie") {
            let set = set.to_str().expect("a cookie is text");
            let (name, rest) = set.split_once('=').expect("a cookie has a name");
            let value = rest.split(';').next().unwrap_or_default();
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        if let Some(csrf) = field(&reply.body, "csrf") {
            self.csrf = csrf;
        }
        reply
    }

    /// Begins a ceremony, as the page's script does.
    pub async fn begin(&mut self, path: &str, form: &[(&str, &str)]) -> Reply {
        let csrf = self.csrf.clone();
        let form = [&[("csrf", csrf.as_str()), ("step", "begin")], form].concat();
        let origin = self.base_url;
        let request = self.form(path, &form).header("origin", origin).header("accept", "application/json");
        self.send(request).await
    }

    /// Makes a passkey at a page that asks for one, and posts it.
    pub async fn make_passkey(&mut self, path: &str, form: &[(&str, &str)]) -> Reply {
        let begun = self.begin(path, form).await;
        if begun.status != StatusCode::OK {
            return begun;
        }
        let begun = begun.json();
        let (passkey, made) = SoftPasskey::create(&begun["options"], self.base_url);
        self.passkey = Some(passkey);
        self.finish(path, &begun, &made, form).await
    }

    /// Posts what a ceremony came to.
    pub async fn finish(
        &mut self,
        path: &str,
        begun: &Value,
        result: &Value,
        form: &[(&str, &str)],
    ) -> Reply {
        let result = result.to_string();
        let ceremony = begun["ceremony"].as_str().unwrap_or_default();
        let steps = [("step", "finish"), ("ceremony", ceremony), ("credential", &result)];
        self.post(path, &[&steps, form].concat()).await
    }

    /// Enrols at an org by a link.
    pub async fn enrol(&mut self, org: &str, link: &str) -> Reply {
        let path = format!("/{org}/enrol");
        self.get(&path).await;
        self.make_passkey(&path, &[("link", link)]).await
    }

    /// Logs in at an org with the passkey it holds, on the way to a page.
    pub async fn log_in(&mut self, org: &str, target: &[(&str, &str)]) -> Reply {
        let path = format!("/{org}/login");
        self.get(&format!("{path}?again=1")).await;
        let begun = self.begin(&path, &[]).await.json();
        let passkey = self.passkey.as_mut().expect("a passkey was made before");
        let shown = passkey.get(&begun["options"], self.base_url);
        self.finish(&path, &begun, &shown, target).await
    }
}

/// The value of the first field of this name in a page.
pub fn field(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    rest.split('"').next().map(str::to_owned)
}
