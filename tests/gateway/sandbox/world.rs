//! A sandbox behind a socket of its own, and the requests that a test makes.

#![allow(unused_imports, reason = "the tests beside share one list")]

use chrono::TimeDelta;
use dues::clock::{Clock, Instant};
use dues::gateway::transport::{Lost, Method, Request};
use dues::sandbox::{Answer, Fate, Fault, HttpRequest, Outcome, Rule, Sandbox, Script, Settings, Status};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::time::Duration;

pub const KEY: &str = "Bearer sk_sbox_simulated";
pub const IMPORTED: &str = "src_imported";

pub struct House {
    pub sandbox: Sandbox,
    pub client: reqwest::Client,
    pub url: String,
    stop: tokio::sync::oneshot::Sender<()>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl House {
    pub async fn open(script: Script) -> Self {
        // Another test of this binary may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sandbox, _) = sandbox_of(Settings { public_url: url.clone(), ..Settings::default() }, script);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = sandbox.clone();
        let served = tokio::spawn(async move { serving.serve(listener, async { drop(stopped.await) }).await });
        House { sandbox, client, url, stop, served }
    }

    pub fn request(&self, key: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.client.post(format!("{}/payments", self.url)).json(body);
        request.header("Authorization", KEY).header("Cko-Idempotency-Key", key)
    }

    pub async fn pay(&self, key: &str, body: &Value) -> reqwest::Response {
        self.request(key, body).send().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(format!("{}{path}", self.url)).header("Authorization", KEY).send().await.unwrap()
    }

    pub async fn close(self) {
        self.stop.send(()).unwrap();
        drop(self.client);
        tokio::time::timeout(Duration::from_secs(5), self.served).await.unwrap().unwrap().unwrap();
    }
}

pub fn start() -> Instant {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

pub fn sandbox(script: Script) -> (Sandbox, Clock) {
    sandbox_of(Settings::default(), script)
}

pub fn sandbox_of(settings: Settings, script: Script) -> (Sandbox, Clock) {
    let clock = Clock::manual(start());
    (Sandbox::new(settings, script, clock.clone(), 1), clock)
}

pub fn later(reference: &str) -> Value {
    json!({
        "source": {"type": "id", "id": IMPORTED},
        "amount": 1100,
        "currency": "HKD",
        "payment_type": "Recurring",
        "merchant_initiated": true,
        "reference": reference,
        "customer": {"email": "wallet@example.com", "name": "Wallet Customer"},
        "items": [{"name": "Plan", "reference": "plan", "unit_price": 1100, "quantity": 1}],
        "metadata": {"subscription": "sub_1"},
    })
}

pub fn first(reference: &str) -> Value {
    json!({
        "source": {"type": "alipay_hk"},
        "amount": 1100,
        "currency": "HKD",
        "payment_type": "Recurring",
        "reference": reference,
        "customer": {"email": "wallet@example.com"},
        "processing": {"terminal_type": "WAP", "os_type": "IOS"},
        "processing_channel_id": "pc_abcdefghijklmnopqrstuvwxyz",
        "success_url": "https://example.com/success",
        "failure_url": "https://example.com/failure",
    })
}

pub fn with(mut order: Value, field: &str, value: Value) -> Value {
    order[field] = value;
    order
}

pub fn on_source(order: Value, source_id: &str) -> Value {
    with(order, "source", json!({"type": "id", "id": source_id}))
}

pub fn request(reference: &str) -> Request {
    Request {
        method: Method::Post,
        path: "/payments".to_owned(),
        authorization: SecretString::from(KEY),
        idempotency_key: Some(reference.to_owned()),
        body: Some(later(reference).to_string()),
    }
}

pub fn post(sandbox: &Sandbox, path: &str, key: &str, body: &Value) -> Answer {
    let body = body.to_string();
    sandbox.handle(HttpRequest {
        method: Method::Post,
        path,
        authorization: Some(KEY),
        idempotency_key: Some(key),
        body: body.as_bytes(),
    })
}

pub fn pay(sandbox: &Sandbox, key: &str, body: &Value) -> Answer {
    post(sandbox, "/payments", key, body)
}

pub fn get(sandbox: &Sandbox, path: &str) -> Answer {
    let authorization = Some(KEY);
    sandbox.handle(HttpRequest { method: Method::Get, path, authorization, idempotency_key: None, body: b"" })
}

pub fn read_path(sandbox: &Sandbox, path: &str) -> Value {
    let answer = get(sandbox, path);
    assert_eq!(answer.status, 200, "{path}");
    json_of(&answer)
}

pub fn read(sandbox: &Sandbox, id: &str) -> Value {
    read_path(sandbox, &format!("/payments/{id}"))
}

pub fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

pub fn id_of(answer: &Answer) -> String {
    json_of(answer)["id"].as_str().unwrap().to_owned()
}
