//! A real browser: headless Chromium, driven through ChromeDriver by the W3C WebDriver protocol.
//!
//! A page is tested by what a person would see and do, so the calls are few: open, find, click, type, press a key, look. An
//! element is named by its CSS selector each time; one that is not there yet is waited for (`PATIENCE`), because a page may
//! still be loading, and no test says how long that takes. Everything dies with the [`Browser`]: the driver, the browser's own
//! children and its profile.
//!
//! [`Browser::authenticator`] plugs in a virtual authenticator (WebAuthn Level 3, section 11), so a passkey is made and used
//! by the browser's own code. It wants a secure context: serve the page on `http://localhost:PORT`.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A browser with one window and a profile of its own. Dropping it ends it.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    session: String, // the URL every command is under
    http: reqwest::Client,
    profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser with nothing open, as a window of a laptop's size.
    pub async fn start() -> Result<Self, BrowserError> {
        let profile = tempfile::Builder::new().prefix("hallpass-browser-").tempdir()?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| BrowserError::new("start chromedriver", source.to_string()))?;
        let port = port_of(&mut driver).await?;
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            // The driver is on loopback: no proxy of the environment may stand between.
            http: reqwest::Client::builder().no_proxy().timeout(COMMAND_LIMIT).build()?,
            profile,
        };
        let mut arguments: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
        arguments.push(format!("--user-data-dir={}", browser.profile.path().display()));
        let opened = browser
            .post(
                "",
                json!({ "capabilities": { "alwaysMatch": {
                    "browserName": "chrome",
                    "timeouts": { "implicit": PATIENCE.as_millis() as u64, "script": PATIENCE.as_millis() as u64 },
                    "goog:chromeOptions": { "args": arguments },
                    "goog:loggingPrefs": { "browser": "ALL" },
                } } }),
            )
            .await?;
        let id =
            opened["sessionId"].as_str().ok_or_else(|| BrowserError::new("start", opened.to_string()))?;
        browser.session = format!("{}/{id}", browser.session);
        browser.resize(1280, 800).await?;
        Ok(browser)
    }

    /// Goes to `url` and waits until it has loaded.
    pub async fn open(&self, url: &str) -> Result<(), BrowserError> {
        self.post("/url", json!({ "url": url })).await.map(drop)
    }

    /// Where the window is now.
    pub async fn url(&self) -> Result<String, BrowserError> {
        text_of(self.send(Method::GET, "/url", None).await?)
    }

    /// Waits until the window's URL is one that `there` accepts, and returns it.
    pub async fn wait_for_url(&self, there: impl Fn(&str) -> bool) -> Result<String, BrowserError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let url = self.url().await?;
            if there(&url) {
                return Ok(url);
            }
            if Instant::now() >= deadline {
                return Err(BrowserError::new("wait for another page", format!("still at {url}")));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The window's title.
    pub async fn title(&self) -> Result<String, BrowserError> {
        text_of(self.send(Method::GET, "/title", None).await?)
    }

    /// The page as HTML, as it is now.
    pub async fn source(&self) -> Result<String, BrowserError> {
        text_of(self.send(Method::GET, "/source", None).await?)
    }

    /// What a person reads in the element.
    pub async fn text(&self, css: &str) -> Result<String, BrowserError> {
        let element = self.find(css).await?;
        text_of(self.send(Method::GET, &format!("{element}/text"), None).await?)
    }

    /// An attribute of the element, if it has it.
    pub async fn attribute(&self, css: &str, name: &str) -> Result<Option<String>, BrowserError> {
        let element = self.find(css).await?;
        let value = self.send(Method::GET, &format!("{element}/attribute/{name}"), None).await?;
        Ok(value.as_str().map(str::to_owned))
    }

    /// Whether the page has the element at this moment; waits for nothing.
    pub async fn has(&self, css: &str) -> Result<bool, BrowserError> {
        let found = self.script("return document.querySelector(arguments[0]) !== null", json!([css])).await?;
        Ok(found == json!(true))
    }

    /// Clicks the element, which must be visible, and waits for the page that follows, if one does.
    pub async fn click(&self, css: &str) -> Result<(), BrowserError> {
        let element = self.find(css).await?;
        let id = element.trim_start_matches("/element/");
        let leaves = self.script(LEAVES, json!([{ ELEMENT: id }])).await?;
        let page = self.find("html").await?;
        self.post(&format!("{element}/click"), json!({})).await?;
        self.turn(&page, leaves == json!(true)).await
    }

    /// Types into the element, after what stands there.
    pub async fn type_into(&self, css: &str, text: &str) -> Result<(), BrowserError> {
        let element = self.find(css).await?;
        self.post(&format!("{element}/value"), json!({ "text": text })).await.map(drop)
    }

    /// Presses a key where the focus is.
    pub async fn press(&self, key: Key) -> Result<(), BrowserError> {
        let leaves = match key {
            Key::Enter | Key::Space => self.script(LEAVES, json!([null])).await? == json!(true),
            Key::Tab | Key::Escape => false,
        };
        let page = self.find("html").await?;
        let key = key.code();
        let strokes = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.post("/actions", actions).await?;
        self.turn(&page, leaves).await
    }

    /// Waits for the next page after something that leaves this one: the driver answers before the browser has begun to go,
    /// and what is read then is of the old page. Where nothing follows (a script asks for a passkey and is refused one) the
    /// page is the same after `TURNING`.
    async fn turn(&self, page: &str, leaves: bool) -> Result<(), BrowserError> {
        let deadline = Instant::now() + TURNING;
        while leaves && Instant::now() < deadline {
            match self.send(Method::GET, &format!("{page}/name"), None).await {
                Ok(_) => tokio::time::sleep(POLL).await,
                Err(_) => return Ok(()), // its elements are gone: this is another page
            }
        }
        Ok(())
    }

    /// Whether the element has the focus.
    pub async fn has_focus(&self, css: &str) -> Result<bool, BrowserError> {
        let focused = self
            .script("return document.activeElement?.matches(arguments[0]) ?? false", json!([css]))
            .await?;
        Ok(focused == json!(true))
    }

    /// Runs a function body in the page; what it returns, as JSON.
    pub async fn script(&self, body: &str, arguments: Value) -> Result<Value, BrowserError> {
        self.post("/execute/sync", json!({ "script": body, "args": arguments })).await
    }

    /// Runs the body of an `async` function in the page and waits for it; what it returns, as JSON. What it throws is an error.
    pub async fn script_async(&self, body: &str, arguments: Value) -> Result<Value, BrowserError> {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (async (...arguments) => {{ {body} }})(...[...arguments].slice(0, -1))
               .then((value) => done({{ value }}), (error) => done({{ error: String(error) }}));"
        );
        let mut outcome = self.post("/execute/async", json!({ "script": script, "args": arguments })).await?;
        match outcome.get("error").and_then(Value::as_str) {
            Some(error) => Err(BrowserError::new("script", error.to_owned())),
            None => Ok(outcome["value"].take()),
        }
    }

    /// Every cookie of the page's site, as WebDriver describes it (`name`, `value`, `httpOnly`, `sameSite`, ...).
    pub async fn cookies(&self) -> Result<Vec<Value>, BrowserError> {
        match self.send(Method::GET, "/cookie", None).await? {
            Value::Array(cookies) => Ok(cookies),
            other => Err(BrowserError::new("cookies", other.to_string())),
        }
    }

    /// What the browser has complained of since this was last asked: refused content, failed loads, uncaught errors.
    pub async fn complaints(&self) -> Result<Vec<String>, BrowserError> {
        let log = self.post("/se/log", json!({ "type": "browser" })).await?;
        let entries = log.as_array().cloned().unwrap_or_default();
        Ok(entries.iter().filter_map(|entry| entry["message"].as_str().map(str::to_owned)).collect())
    }

    /// Forgets every cookie of the page's site.
    pub async fn forget_cookies(&self) -> Result<(), BrowserError> {
        self.send(Method::DELETE, "/cookie", None).await.map(drop)
    }

    /// Makes the page `width` by `height` CSS pixels: a phone is 360 by 740.
    pub async fn resize(&self, width: u32, height: u32) -> Result<(), BrowserError> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await
    }

    /// Whether the person asked their system for dark colours.
    pub async fn prefer_dark(&self, dark: bool) -> Result<(), BrowserError> {
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await
    }

    /// Allows the page its own scripts, or none. Ours ([`script`](Self::script), [`has`](Self::has)) run all the same.
    pub async fn allow_scripts(&self, allowed: bool) -> Result<(), BrowserError> {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": !allowed })).await
    }

    /// Saves what the window shows as a PNG.
    pub async fn screenshot(&self, file: &Path) -> Result<(), BrowserError> {
        let picture = text_of(self.send(Method::GET, "/screenshot", None).await?)?;
        let png =
            STANDARD.decode(picture).map_err(|source| BrowserError::new("screenshot", source.to_string()))?;
        Ok(std::fs::write(file, png)?)
    }

    /// Plugs in an authenticator of the machine's own (like a fingerprint reader) whose owner is there and agrees at once.
    pub async fn authenticator(&self) -> Result<Authenticator<'_>, BrowserError> {
        let options = json!({
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserVerified": true,
            "isUserConsenting": true,
        });
        let id = text_of(self.post("/webauthn/authenticator", options).await?)?;
        Ok(Authenticator { browser: self, path: format!("/webauthn/authenticator/{id}") })
    }

    /// Where it keeps what it remembers, until it is dropped.
    pub fn profile(&self) -> &Path {
        self.profile.path()
    }

    /// Sends a command of the Chrome DevTools Protocol.
    async fn devtools(&self, command: &str, parameters: Value) -> Result<(), BrowserError> {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await.map(drop)
    }

    /// The path of an element, once there is one.
    async fn find(&self, css: &str) -> Result<String, BrowserError> {
        let found = self.post("/element", json!({ "using": "css selector", "value": css })).await?;
        let id = found[ELEMENT].as_str().ok_or_else(|| BrowserError::new("find", found.to_string()))?;
        Ok(format!("/element/{id}"))
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, BrowserError> {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, BrowserError> {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if let Some(body) = &body {
            request = request.json(body);
        }
        let mut answer: Value = request.send().await?.json().await?;
        let value = answer["value"].take();
        match value.get("error").and_then(Value::as_str) {
            Some(error) => {
                let message = value["message"].as_str().and_then(|m| m.lines().next()).unwrap_or_default();
                let asked = body.unwrap_or_default();
                Err(BrowserError::new(&format!("{path} {asked}"), format!("{error}: {message}")))
            }
            None => Ok(value),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let Some(driver) = self.driver.id() else { return };
        // The driver goes last: its death would orphan the others before they are found.
        let mut family = descendants(driver);
        family.push(driver);
        for pid in family.into_iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
            let Ok(handle) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { continue };
            let _ = rustix::process::pidfd_send_signal(&handle, Signal::KILL);
            // The profile can only be removed once nobody writes to it.
            let limit = Timespec { tv_sec: 5, tv_nsec: 0 };
            let _ = rustix::event::poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit));
        }
    }
}

/// A virtual authenticator plugged into a [`Browser`].
#[derive(Debug)]
pub struct Authenticator<'b> {
    browser: &'b Browser,
    path: String,
}

impl Authenticator<'_> {
    /// The passkeys it holds (`credentialId`, `rpId`, `userHandle`, `signCount`, `privateKey`, ...), as WebAuthn describes them.
    pub async fn credentials(&self) -> Result<Vec<Value>, BrowserError> {
        match self.browser.send(Method::GET, &format!("{}/credentials", self.path), None).await? {
            Value::Array(credentials) => Ok(credentials),
            other => Err(BrowserError::new("credentials", other.to_string())),
        }
    }

    /// Puts a passkey in, as [`credentials`](Self::credentials) of another authenticator showed it: the same person elsewhere.
    pub async fn insert(&self, credential: &Value) -> Result<(), BrowserError> {
        self.browser.post(&format!("{}/credential", self.path), credential.clone()).await.map(drop)
    }

    /// Loses a passkey, by its `credentialId`.
    pub async fn lose(&self, credential: &str) -> Result<(), BrowserError> {
        let path = format!("{}/credentials/{credential}", self.path);
        self.browser.send(Method::DELETE, &path, None).await.map(drop)
    }

    /// Whether its owner passes the fingerprint or PIN when asked.
    pub async fn verify_owner(&self, passes: bool) -> Result<(), BrowserError> {
        self.browser.post(&format!("{}/uv", self.path), json!({ "isUserVerified": passes })).await.map(drop)
    }

    /// Unplugs it, and its passkeys with it.
    pub async fn unplug(self) -> Result<(), BrowserError> {
        self.browser.send(Method::DELETE, &self.path, None).await.map(drop)
    }
}

/// A key that does something other than write itself.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    /// Moves the focus on.
    Tab,
    /// Answers.
    Enter,
    /// Presses a focused button.
    Space,
    /// Leaves.
    Escape,
}

impl Key {
    // WebDriver, section 17.4.2: keys without a character have a code point of the private use area.
    fn code(self) -> &'static str {
        match self {
            Self::Tab => "\u{E004}",
            Self::Enter => "\u{E007}",
            Self::Space => " ",
            Self::Escape => "\u{E00C}",
        }
    }
}

/// What the browser or its driver would not do.
#[derive(Debug, thiserror::Error)]
#[error("browser: {asked}: {answered}")]
pub struct BrowserError {
    asked: String,
    answered: String,
}

impl BrowserError {
    fn new(asked: &str, answered: String) -> Self {
        Self { asked: asked.to_owned(), answered }
    }
}

impl From<reqwest::Error> for BrowserError {
    fn from(source: reqwest::Error) -> Self {
        Self::new("reach the driver", format!("{source:?}"))
    }
}

impl From<std::io::Error> for BrowserError {
    fn from(source: std::io::Error) -> Self {
        Self::new("use a file", source.to_string())
    }
}

/// The port that the driver says it took.
async fn port_of(driver: &mut Child) -> Result<u16, BrowserError> {
    let output = driver.stdout.take().expect("stdout was asked for when it was started");
    let mut lines = BufReader::new(output).lines();
    let announced = async {
        while let Some(line) = lines.next_line().await? {
            if let Some((_, port)) = line.trim_end_matches('.').split_once("started successfully on port ") {
                return Ok(port.parse::<u16>().ok());
            }
        }
        Ok::<_, std::io::Error>(None)
    };
    let port = tokio::time::timeout(COMMAND_LIMIT, announced)
        .await
        .map_err(|_| BrowserError::new("start chromedriver", "it said nothing".to_owned()))??
        .ok_or_else(|| BrowserError::new("start chromedriver", "it named no port".to_owned()))?;
    // It must be able to go on writing, or it dies of it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(port)
}

/// Every process under this one, those nearest first.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            found.push(child);
            found.extend(descendants(child));
        }
    }
    found
}

fn text_of(value: Value) -> Result<String, BrowserError> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(BrowserError::new("text", format!("not text but {other}"))),
    }
}

/// How long a page may take to show what it is asked for, on two busy cores.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the driver may take for one command; more than `PATIENCE`, which it waits for itself.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// How long the browser may take to leave a page once told to.
const TURNING: Duration = Duration::from_secs(2);
/// Whether acting on the element (on the one with the focus, if none is given) submits a form or follows a link.
const LEAVES: &str = "
    const at = arguments[0] ?? document.activeElement;
    const link = at?.closest('a[href]');
    if (link) return link.href.split('#')[0] !== location.href.split('#')[0];
    return Boolean(at?.form?.checkValidity() && (at.type === 'submit' || !arguments[0]));";
/// How often to look again.
const POLL: Duration = Duration::from_millis(20);
/// WebDriver, section 12: the key under which an element's id is sent.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",            // root has no user namespace to fall into
    "--disable-gpu",           // there is none
    "--disable-dev-shm-usage", // containers give it 64 MiB
    "--disable-quic",
    "--no-first-run",
    "--disable-crash-reporter",
    // Nothing that calls home: a machine without a network would spend its start on time-outs.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--force-prefers-reduced-motion", // pictures do not depend on the moment
];
