//! The real program in a folder of its own: commands that end, and a server that runs.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Nothing here takes longer, on the slowest machine; a test that waits longer has found a fault.
const PATIENCE: Duration = Duration::from_secs(60);

/// What people call.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hallpass");
/// The whole program behind it.
pub(crate) const WHOLE: &str = env!("CARGO_BIN_EXE_hallpass-main");

/// Puts both into a folder. Where the one to call is.
pub(crate) fn put_into(folder: &Path) -> PathBuf {
    for program in [PROGRAM, WHOLE] {
        let name = Path::new(program).file_name().unwrap();
        std::fs::copy(program, folder.join(name)).unwrap();
    }
    folder.join("hallpass")
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Its output as one JSON value.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Asserts that it failed so, with these words in what it said.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not in: {}", self.err);
        }
        assert!(self.err.contains("error: "), "{}", self.err);
    }
}

/// The program, with no settings but what a test gives it.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    ended(&mut command(arguments))
}

/// Runs a prepared command to its end.
pub(crate) fn ended(command: &mut Command) -> Ended {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let begun = std::time::Instant::now();
    let child = loop {
        match command.spawn() {
            // A program that was copied just now is open for writing in whatever another test is starting, until that runs.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && begun.elapsed() < PATIENCE => {
                std::thread::yield_now();
            }
            spawned => break spawned.unwrap(),
        }
    };
    let (done, waiting) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let output = waiting.recv_timeout(PATIENCE).expect("the command came to an end").unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running server and the folder it runs in.
pub(crate) struct Server {
    child: Option<Child>,
    pub(crate) folder: PathBuf,
    pub(crate) url: String,
    pub(crate) listen: String,
    /// Where Prometheus is answered, if it is.
    pub(crate) metrics: Option<String>,
    said: mpsc::Receiver<String>,
    heard: RefCell<String>,
}

impl Server {
    /// Starts one on any free port and waits until it listens.
    pub(crate) fn start(folder: &Path, more: &[&str]) -> Self {
        let data = folder.join("data");
        let mut child =
            command(&["serve", "--json", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()])
                .args(more)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
        let said = collect(child.stderr.take().unwrap());
        let answers = collect(child.stdout.take().unwrap());
        let line = answers.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            panic!("the server did not start: {}", said.try_iter().collect::<String>());
        });
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["schema"], "hallpass.serve.ready/1");
        Self {
            child: Some(child),
            folder: data,
            url: ready["url"].as_str().unwrap().to_owned(),
            listen: ready["listen"].as_str().unwrap().to_owned(),
            metrics: ready["metrics"].as_str().map(str::to_owned),
            said,
            heard: RefCell::default(),
        }
    }

    /// What an operator's command answers.
    pub(crate) fn admin(&self, arguments: &[&str]) -> Ended {
        let mut all = vec!["admin", "--json", "--data", self.folder.to_str().unwrap()];
        all.extend(arguments);
        run(&all)
    }

    /// What a command about the ledger answers.
    pub(crate) fn ledger(&self, arguments: &[&str]) -> Ended {
        let mut all = vec!["ledger", "--data", self.folder.to_str().unwrap()];
        all.extend(arguments);
        run(&all)
    }

    /// An org with one administrator, `ada`.
    pub(crate) fn with_org(self) -> Self {
        self.admin(&["org", "add", "acme", "--administrator", "ada"]).json();
        self
    }

    /// Waits for a line on standard error that holds these words.
    pub(crate) fn says(&self, words: &str) -> String {
        loop {
            let line = self.said.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it never said `{words}`"));
            self.heard.borrow_mut().push_str(&line);
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().unwrap().id();
        kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
    }

    /// Waits for its end, and gives how it ended and everything it ever said.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let mut child = self.child.take().unwrap();
        let (done, waiting) = mpsc::channel();
        std::thread::spawn(move || done.send(child.wait()));
        let status = waiting.recv_timeout(PATIENCE).expect("the server came to an end").unwrap();
        (status, self.heard.take() + &self.said.iter().collect::<String>())
    }

    /// Tells it to stop, and waits for it.
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, said) = self.end();
        assert!(status.success(), "{status}: {said}");
        said
    }

    /// Sends a request, and leaves the connection open for the answer.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.listen).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.listen,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Sends a form once the server has said that it reads it (RFC 9110, section 10.1.1): from then on the request is under way.
    pub(crate) fn send_when_asked(&self, path: &str, headers: &str, form: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.listen).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nExpect: 100-continue\r\n{headers}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            self.listen,
            form.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut go_on).unwrap();
        assert!(go_on.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&go_on));
        stream.write_all(form.as_bytes()).unwrap();
        stream
    }

    /// Asks for a page.
    pub(crate) fn get(&self, path: &str) -> String {
        answer(self.send("GET", path, "", ""))
    }
}

/// Everything that comes on a connection.
pub(crate) fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn collect(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (line_came, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if line_came.send(line + "\n").is_err() {
                return;
            }
        }
    });
    lines
}
