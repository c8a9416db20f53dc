//! A web site that publishes documents of clients, over TLS, with faults that a test chooses.
#![expect(clippy::unwrap_used, reason = "only tests ask it, and a test fails by panicking")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::world::{LOCALHOST_KEY, LOCALHOST_PEM};

/// What is at a path.
#[derive(Debug, Clone)]
pub enum Page {
    /// This document.
    Document(Value),
    /// So many bytes.
    Long(usize),
    /// The way to somewhere else.
    Redirect(String),
    /// Nothing, ever.
    Silence,
    /// An error of the server's.
    Broken,
}

/// The site. Cheap to clone.
#[derive(Clone)]
pub struct DocumentHost {
    /// `localhost:PORT`.
    pub host: String,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    fetched: Arc<AtomicUsize>,
}

impl DocumentHost {
    /// Starts one on a free port. The world's issuer believes its certificate.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("localhost:{}", listener.local_addr().unwrap().port());
        let site = Self { host, pages: Arc::default(), fetched: Arc::default() };
        let certificates = CertificateDer::pem_slice_iter(LOCALHOST_PEM).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(LOCALHOST_KEY).unwrap();
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serving = site.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, site) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    let mut head = vec![0; 8_192];
                    let len = stream.read(&mut head).await.ok()?;
                    let head = String::from_utf8_lossy(&head[..len]).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    let answer = site.answer(&path).await;
                    stream.write_all(answer.as_bytes()).await.ok()?;
                    stream.shutdown().await.ok()
                });
            }
        });
        site
    }

    async fn answer(&self, path: &str) -> String {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        let page = self.pages.lock().unwrap().get(path).cloned();
        let head = |status: &str, more: &str, len: usize| {
            format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len}\r\nconnection: close\r\n{more}\r\n"
            )
        };
        match page {
            None => head("404 Not Found", "", 0),
            Some(Page::Broken) => head("500 Internal Server Error", "", 0),
            Some(Page::Redirect(to)) => head("302 Found", &format!("location: {to}\r\n"), 0),
            Some(Page::Long(len)) => head("200 OK", "", len) + &" ".repeat(len),
            Some(Page::Silence) => std::future::pending().await,
            Some(Page::Document(document)) => {
                let text = document.to_string();
                head("200 OK", "", text.len()) + &text
            }
        }
    }

    /// Puts something at a path, and says its address.
    pub fn put(&self, path: &str, page: Page) -> String {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
        format!("https://{}{path}", self.host)
    }

    /// Publishes a public client's document, and says its address. `more` is beside what each has.
    pub fn publish(&self, path: &str, more: Value) -> String {
        let url = format!("https://{}{path}", self.host);
        let mut document = serde_json::json!({
            "client_id": url,
            "client_name": "An editor",
            "redirect_uris": ["http://127.0.0.1/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
        });
        for (name, value) in more.as_object().unwrap() {
            document[name] = value.clone();
        }
        self.put(path, Page::Document(document))
    }

    /// How often anything was asked for.
    pub fn fetched(&self) -> usize {
        self.fetched.load(Ordering::Relaxed)
    }
}
