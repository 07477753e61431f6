//! The transport of production: one exchange over HTTP/1.1. What it must not do is as important as what it does: it never sends
//! twice, follows no redirect, asks no proxy, and reads no more of an answer than it was told to.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue};
use reqwest::{Response, Url};
use secrecy::ExposeSecret;

use super::transport::{Exchange, Lost, Method, Reply, Request, Transport, date};
use crate::config;

/// Servers close idle connections after a minute or so; a request that meets a closing one is lost with an unknown outcome.
const POOL_IDLE: Duration = Duration::from_secs(10);
const IDEMPOTENCY_KEY: &str = "cko-idempotency-key";
const REQUEST_ID: &str = "cko-request-id";

/// Sends requests to the gateway.
#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    /// Scheme, host and port, without a slash at the end.
    base: String,
    body_limit_bytes: usize,
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The setting is no URL to send to.
    #[error("gateway.url must be http:// or https://, a host and perhaps a port, without path, query or user: {url:?}")]
    Url {
        /// What it was.
        url: String,
    },
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be built; where the system's certificates are missing, install ca-certificates")]
    Build(#[source] reqwest::Error),
}

impl Http {
    /// A client within the settings' limits.
    ///
    /// # Errors
    /// [`HttpError`] where the URL is none to send to, or the system has no certificates to check the gateway's by.
    pub fn new(settings: &config::Gateway) -> Result<Http, HttpError> {
        let url = origin(&settings.url).ok_or_else(|| HttpError::Url { url: without_user(&settings.url) })?;
        // Every TLS client of this process shares one provider; whoever comes first installs it, the others may fail here.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("dues/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .pool_idle_timeout(POOL_IDLE)
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.read_timeout)
            .timeout(settings.timeout);
        if url.scheme() == "http" {
            // A client that never speaks TLS must not fail on a machine without certificates.
            builder = builder.tls_certs_only([]);
        } else {
            builder = builder.https_only(true);
        }
        Ok(Http {
            client: builder.build().map_err(HttpError::Build)?,
            base: url.as_str().trim_end_matches('/').to_owned(),
            body_limit_bytes: settings.body_limit_bytes,
        })
    }

    async fn send(&self, request: Request) -> Result<Reply, Lost> {
        let mut authorization = HeaderValue::from_str(request.authorization.expose_secret())
            .map_err(|_| Lost::NotSent("the secret key holds characters that no header may hold".to_owned()))?;
        authorization.set_sensitive(true);
        let url = format!("{}{}", self.base, request.path);
        let mut call = match request.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url),
        };
        call = call.header(AUTHORIZATION, authorization).header(ACCEPT, "application/json");
        if let Some(key) = request.idempotency_key {
            call = call.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(body) = request.body {
            call = call.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = call.send().await.map_err(lost)?;
        self.read(response).await
    }

    /// Reads the answer piece by piece, and stops where it grows too large.
    async fn read(&self, mut response: Response) -> Result<Reply, Lost> {
        let limit_bytes = self.body_limit_bytes;
        let status = response.status().as_u16();
        let request_id = response.headers().get(REQUEST_ID).and_then(request_id);
        let date = response.headers().get(DATE).and_then(|value| value.to_str().ok()).and_then(date);
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(broken_off)? {
            if body.len() + piece.len() > limit_bytes {
                return Err(Lost::TooLarge { limit_bytes });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Reply { status, request_id, date, body })
    }
}

impl Transport for Http {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(self.send(request))
    }
}

/// What a failure before the answer's head proves. Only a failure to connect, which includes names that do not resolve and TLS
/// that does not come about, and a request that could not be built, happen before a byte of the request is written.
fn lost(error: reqwest::Error) -> Lost {
    let not_sent = error.is_connect() || error.is_builder();
    let why = causes(error);
    if not_sent { Lost::NotSent(why) } else { Lost::NoAnswer(why) }
}

fn broken_off(error: reqwest::Error) -> Lost {
    Lost::NoAnswer(causes(error))
}

/// The error and what caused it, without the URL: its query holds a reference.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn origin(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    (is_web && is_bare && is_anonymous).then_some(url)
}

/// The setting as it may be shown: nothing before an `@`, nothing after a `?`.
fn without_user(text: &str) -> String {
    let shown = text.split('?').next().unwrap_or_default();
    shown.rsplit('@').next().unwrap_or_default().to_owned()
}

fn request_id(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    ((1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
}
