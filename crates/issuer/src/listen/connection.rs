//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::{RequesterAddress, requester};
use crate::limits;
use hallpass_model::network::Network;

pub(super) struct Connection {
    pub(super) router: Router,
    pub(super) peer: IpAddr,
    pub(super) trusted_proxies: Arc<[Network]>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Connection {
    pub(super) async fn run(self, socket: TcpStream, tls: Option<TlsAcceptor>) {
        // Answers are one small write; waiting to fill a packet only delays them.
        let _ = socket.set_nodelay(true);
        let Some(tls) = tls else { return self.http1(socket).await };
        match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, tls.accept(socket)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => self.http2(stream).await,
            Ok(Ok(stream)) => self.http1(stream).await,
            Ok(Err(_)) | Err(_) => tracing::debug!("a TLS handshake failed"),
        }
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut stop = self.stop.clone();
        let service = service_fn(move |request| self.answer(request));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEADER_TIMEOUT)
            .max_buf_size(limits::HEADERS_MAX)
            .max_headers(limits::HEADER_COUNT_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
        }
        let _ = tokio::time::timeout(limits::DRAIN, connection).await;
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut stop = self.stop.clone();
        let progress = Progress::default();
        let seen = progress.clone();
        let service = service_fn(move |request| seen.watch(self.answer(request)));
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits::STREAMS_MAX)
            .max_header_list_size(limits::HEADERS_MAX as u32)
            .keep_alive_interval(limits::HTTP2_PING)
            .keep_alive_timeout(limits::HTTP2_PING)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep_until(progress.idle_at()) => if progress.is_idle() { break },
            }
        }
        // Whoever has nothing under way is gone at once; a request that just came is still answered.
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(limits::DRAIN, connection).await;
    }

    fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response, Infallible>> + use<> {
        let address = requester(self.peer, request.headers(), &self.trusted_proxies);
        request.extensions_mut().insert(RequesterAddress(address));
        self.router.clone().oneshot(request.map(Body::new))
    }
}

/// When something last went on at a connection: a request came, was answered, or a piece of its answer was taken.
///
/// SECURITY: answering pings is nothing that goes on, and neither is a stream whose answer nobody takes: a stranger does
/// both for nothing, and would keep the connection for ever.
#[derive(Clone)]
struct Progress(Arc<Mutex<Instant>>);

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Progress {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// When it will have been idle for too long, if nothing more goes on.
    fn idle_at(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) + limits::HTTP2_IDLE
    }

    fn is_idle(&self) -> bool {
        self.idle_at() <= Instant::now()
    }

    /// Notes what goes on with one request.
    fn watch<A>(&self, answer: A) -> impl Future<Output = Result<Response, Infallible>> + use<A>
    where
        A: Future<Output = Result<Response, Infallible>>,
    {
        let progress = self.clone();
        progress.note();
        async move {
            let response = answer.await?;
            progress.note();
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    progress.note();
                    frame
                }))
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use axum::routing::get;
    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::Empty;
    use hyper::client::conn::http2::{Builder, SendRequest};
    use tokio::task::JoinHandle;

    /// A client connected to a server with two pages, and the end of its connection.
    async fn connected(window: Option<u32>) -> (SendRequest<Empty<Bytes>>, JoinHandle<Duration>) {
        let lines = async || {
            let every = Duration::from_secs(5);
            let lines = stream::unfold(0, move |n| async move {
                tokio::time::sleep(every).await;
                (n < LINES).then_some((Ok::<_, Infallible>("open\n"), n + 1))
            });
            Body::from_stream(lines)
        };
        let router = Router::new().route("/", get(async || "served")).route("/lines", get(lines));
        let (stop, stopped) = watch::channel(false);
        let connection =
            Connection { router, peer: [127, 0, 0, 1].into(), trusted_proxies: [].into(), stop: stopped };
        let (client, server) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            connection.http2(server).await;
            drop(stop);
        });
        let mut builder = Builder::new(TokioExecutor::new());
        let builder = builder.timer(TokioTimer::new());
        if let Some(window) = window {
            builder.initial_stream_window_size(window);
        }
        let (client, connection) = builder.handshake(TokioIo::new(client)).await.unwrap();
        let began = Instant::now();
        let end = tokio::spawn(async move {
            let _ = connection.await;
            began.elapsed()
        });
        (client, end)
    }

    /// Enough of them to take twice as long as a connection may be idle.
    const LINES: u64 = 24;

    async fn ask(client: &mut SendRequest<Empty<Bytes>>, path: &str) -> http::Response<Incoming> {
        let request = Request::get(format!("http://localhost{path}")).body(Empty::new()).unwrap();
        client.send_request(request).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_only_answers_pings_ends() {
        let (mut client, end) = connected(None).await;
        tokio::time::sleep(limits::HTTP2_IDLE / 2).await;
        assert_eq!(ask(&mut client, "/").await.collect().await.unwrap().to_bytes(), "served");
        let lived = end.await.unwrap();
        assert!(lived >= limits::HTTP2_IDLE * 3 / 2 && lived < limits::HTTP2_IDLE * 2, "{lived:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_something_goes_on_stays() {
        let (mut client, end) = connected(None).await;
        let lines = ask(&mut client, "/lines").await.collect().await.expect("the answer is whole").to_bytes();
        assert_eq!(lines.len() as u64, LINES * 5);
        assert!(!end.is_finished(), "for longer than it could have been idle");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_answer_nobody_takes_ends() {
        let (mut client, end) = connected(Some(0)).await;
        let answer = ask(&mut client, "/").await;
        let lived = end.await.unwrap();
        assert!(lived < limits::HTTP2_IDLE + limits::DRAIN * 2, "{lived:?}");
        assert!(answer.collect().await.is_err());
    }
}
