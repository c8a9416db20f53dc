//! Bodies: short ones of our own, and long ones with tokens taken out as they stream by.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep};

use super::headers;
use crate::exec::scrub::{Current, Mask, Scrubber};

type Failed = Box<dyn std::error::Error + Send + Sync>;
/// What an answer's body is.
pub(super) type Body = UnsyncBoxBody<Bytes, Failed>;

/// So much is read at once from a connection that became something else.
const PIECE_LEN: usize = 16 * 1024;

pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// An answer of our own.
pub(super) fn say(status: StatusCode, what: &str) -> Response<Body> {
    let text = Full::new(Bytes::from(format!("hallpass: {what}\n")));
    let mut response = Response::new(text.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A body without tokens. As long as it was.
pub(super) struct Scrubbed<B> {
    inner: B,
    words: Current,
    scrubber: Scrubber,
    /// When what is held back goes on.
    patience: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl<B> Scrubbed<B> {
    pub(super) fn new(inner: B, words: Current) -> Self {
        Self { inner, words, scrubber: Scrubber::new(Mask::Stars), patience: None, ended: false }
    }

    fn be_patient(&mut self) {
        let until = self.scrubber.patience().map(|patience| Instant::now() + patience);
        self.patience = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
    }
}

impl<B> hyper::body::Body for Scrubbed<B>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Failed>,
{
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        let this = &mut *self;
        while !this.ended {
            match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let mut out = Vec::new();
                    match frame.into_data() {
                        Ok(data) => {
                            this.scrubber.push(&(this.words)(), &data, &mut out);
                            this.be_patient();
                            if !out.is_empty() {
                                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
                            }
                        }
                        Err(frame) => {
                            let Ok(mut trailers) = frame.into_trailers() else { continue };
                            headers::scrub(&mut trailers, &(this.words)());
                            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                        }
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => this.ended = true,
                Poll::Pending => {
                    let Some(patience) = &mut this.patience else { return Poll::Pending };
                    ready!(patience.as_mut().poll(cx));
                    let mut out = Vec::new();
                    this.scrubber.let_go(&mut out);
                    this.patience = None;
                    if !out.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(out.into()))));
                    }
                }
            }
        }
        let mut out = Vec::new();
        this.scrubber.finish(&mut out);
        Poll::Ready((!out.is_empty()).then(|| Ok(Frame::data(out.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.scrubber.patience().is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // What is held back has left the inner body, and is still to come.
        if self.scrubber.patience().is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

/// Copies both ways between two ends of a connection that became something else (a WebSocket), without tokens on the
/// way back.
pub(super) async fn copy_scrubbed(
    here: impl AsyncRead + AsyncWrite + Unpin,
    there: impl AsyncRead + AsyncWrite + Unpin,
    words: Current,
) -> std::io::Result<()> {
    let ((mut from_here, mut to_here), (mut from_there, mut to_there)) =
        (tokio::io::split(here), tokio::io::split(there));
    let out = async {
        tokio::io::copy(&mut from_here, &mut to_there).await?;
        to_there.shutdown().await
    };
    let back = async {
        let mut scrubber = Scrubber::new(Mask::Stars);
        let (mut piece, mut clean) = (vec![0; PIECE_LEN], Vec::new());
        loop {
            let read = match scrubber.patience() {
                None => from_there.read(&mut piece).await?,
                Some(patience) => match tokio::time::timeout(patience, from_there.read(&mut piece)).await {
                    Ok(read) => read?,
                    Err(_) => {
                        scrubber.let_go(&mut clean);
                        to_here.write_all(&clean).await?;
                        clean.clear();
                        continue;
                    }
                },
            };
            match read {
                0 => scrubber.finish(&mut clean),
                read => scrubber.push(&words(), &piece[..read], &mut clean),
            }
            to_here.write_all(&clean).await?;
            clean.clear();
            if read == 0 {
                return to_here.shutdown().await;
            }
        }
    };
    tokio::try_join!(out, back).map(|_| ())
}
