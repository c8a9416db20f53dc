//! Requests byte for byte, sent by a process of the command: nobody else is answered.

use super::Place;

/// Sends each conversation on a connection of its own. Each is a list of pieces; one after the first is sent when what it
/// waits for has come. `{path}` stands for the API's address in the proxy, `{key}` for the run's key as a client shows it.
/// A conversation's answer is all that came until the proxy hung up, or said nothing more for as long as nobody waits.
const SCRIPT: &str = r#"
import base64, json, os, socket, sys, urllib.parse
url = urllib.parse.urlsplit(os.environ['HALLPASS_PROXY_URL'])
proxy = urllib.parse.urlsplit(os.environ['http_proxy'])
key = base64.b64encode(f'{proxy.username}:{proxy.password}'.encode()).decode()
answers = []
for conversation in json.load(open(sys.argv[1])):
    with socket.create_connection((url.hostname, url.port)) as s:
        s.settimeout(50)
        came = b''
        try:
            for piece, when in conversation:
                while when.encode() not in came:
                    more = s.recv(65536)
                    if not more: raise ConnectionError
                    came += more
                s.sendall(piece.replace('{path}', url.path).replace('{key}', key).encode('latin-1'))
            while more := s.recv(65536):
                came += more
        except (ConnectionError, BrokenPipeError):
            pass
        answers.append(came.decode('latin-1'))
print(json.dumps(answers))
"#;

/// A piece of a conversation, and the words that must have come before it is sent.
pub(super) type Piece<'a> = (&'a str, &'a str);

impl Place {
    /// What came of each conversation, all in one run.
    pub(super) async fn converse(&self, more: &[&str], conversations: &[Vec<Piece<'_>>]) -> Vec<String> {
        std::fs::write(self.machine.path("raw.py"), SCRIPT).unwrap();
        std::fs::write(self.machine.path("raw.json"), serde_json::to_vec(conversations).unwrap()).unwrap();
        let said = self.run(more, "python3 raw.py raw.json").await;
        assert_eq!((said.code(), said.err().as_str()), (0, ""));
        serde_json::from_str(&said.out()).unwrap()
    }

    /// The same where each is one request.
    pub(super) async fn send_raw(&self, more: &[&str], requests: &[&str]) -> Vec<String> {
        let conversations: Vec<_> = requests.iter().map(|request| vec![(*request, "")]).collect();
        self.converse(more, &conversations).await
    }
}

/// The status of an answer.
pub(super) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}
