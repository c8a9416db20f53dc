//! What is slow, long or many: it passes as it comes, it is not held, and it ends somewhere.

use super::Place;
use super::raw::status;

#[tokio::test]
async fn a_body_goes_on_piece_by_piece_both_ways_however_slowly_it_comes() {
    let place = Place::over_http().await;
    let head =
        "POST {path}/echoes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    // Each piece is sent when the one before has come back: who holds anything back waits for ever.
    let conversation = vec![
        (head, ""),
        ("5\r\nfirst\r\n", ""),
        ("6\r\nsecond\r\n", "first"),
        ("5\r\nthird\r\n", "second"),
        ("0\r\n\r\n", "third"),
    ];
    let answers = place.converse(&[], &[conversation]).await;
    assert!(answers[0].starts_with("HTTP/1.1 200") && answers[0].ends_with("0\r\n\r\n"), "{answers:?}");
}

#[tokio::test]
async fn who_asks_whether_to_send_a_body_is_told_and_who_is_refused_need_not() {
    let place = Place::over_http().await;
    let asks = |method: &str, path: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
    };
    let (put, post, refused) = (asks("PUT", "{path}/a"), asks("POST", "{path}/b"), asks("POST", "/c"));
    let conversations = [
        vec![(&*put, ""), ("hello", "100 Continue")],
        vec![(&*post, ""), ("hello", "100 Continue")],
        vec![(&*refused, "")],
    ];
    let answers = place.converse(&[], &conversations).await;
    assert!(answers[..2].iter().all(|answer| answer.contains("HTTP/1.1 200")), "{answers:?}");
    assert_eq!(status(&answers[2]), "403");
    let seen = place.api.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.body == "hello" && !seen.headers.contains_key("expect")), "{seen:?}");
}

#[tokio::test]
async fn a_client_of_http_1_0_is_answered_as_it_can_read() {
    let place = Place::over_http().await;
    let requests = ["GET {path}/notes HTTP/1.0\r\n\r\n", "GET {path}/pieces HTTP/1.0\r\n\r\n"];
    let answers = place.send_raw(&[], &requests).await;
    for (answer, body) in answers.iter().zip(["noted", "in pieces of any length"]) {
        let (head, came) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200") && !head.to_lowercase().contains("chunked"), "{answer:?}");
        assert_eq!(came, body);
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_and_one_of_any_honest_length_is_not() {
    let place = Place::over_http().await;
    let long = |len: usize| {
        let value = "x".repeat(len);
        format!("GET {{path}}/long HTTP/1.1\r\nHost: x\r\nX-Long: {value}\r\nConnection: close\r\n\r\n")
    };
    let answers = place.send_raw(&[], &[&long(60_000), &long(200_000), &long(10_000_000)]).await;
    assert_eq!((status(&answers[0]), status(&answers[1])), ("200", "431"), "{answers:?}");
    // Who goes on writing may be hung up on before the answer is read.
    assert!(["431", "none"].contains(&status(&answers[2])), "{answers:?}");
    assert_eq!(place.api.seen().len(), 1);
}

/// MiB that pass in each direction.
const MUCH: usize = 128;
/// MiB that the proxy may hold more than before while they do: buffers, and no body.
const HELD: usize = 24;

#[tokio::test]
async fn what_passes_is_not_held() {
    let place = Place::over_http().await;
    let line = format!(
        "peak() {{ sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$PPID/status; }}; \
         curl -sS $HALLPASS_PROXY_URL/notes -o /dev/null; peak; \
         curl -sS $HALLPASS_PROXY_URL/much?{MUCH} | wc -c; \
         head -c {} /dev/zero | curl -sS -T - $HALLPASS_PROXY_URL/counts; echo; peak",
        MUCH * 1024 * 1024
    );
    let said = place.run(&[], &line).await;
    let numbers: Vec<usize> = said.out().lines().map(|line| line.parse().unwrap()).collect();
    let [before, down, up, after] = numbers[..] else { panic!("{} {}", said.out(), said.err()) };
    assert_eq!((down, up), (MUCH * 1024 * 1024, MUCH * 1024 * 1024), "{}", said.err());
    assert!(after - before < HELD * 1024, "{before} kB before, {after} kB after");
}

/// As many as the proxy serves at a time. Each is answered, and kept.
const CONNECTIONS: usize = 512;

#[tokio::test]
async fn one_connection_too_many_waits_for_another_to_end() {
    let place = Place::over_http().await;
    let script = format!(
        r#"
import os, select, socket, urllib.parse
url = urllib.parse.urlsplit(os.environ['HALLPASS_PROXY_URL'])
connect = lambda: socket.create_connection((url.hostname, url.port))
ask = lambda s, path: s.sendall(f'GET {{url.path}}/{{path}} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
many = [connect() for n in range({CONNECTIONS})]
for one in many:
    ask(one, 'one')
    assert one.recv(4096).startswith(b'HTTP/1.1 200')
more = connect()
ask(more, 'more')
print(select.select([more], [], [], 1)[0])
many[0].close()
print(more.recv(4096).split(b' ')[1].decode())
"#
    );
    std::fs::write(place.machine.path("many.py"), script).unwrap();
    let said = place.run(&[], "python3 many.py").await;
    assert_eq!(said.out(), "[]\n200\n", "{}", said.err());
}
