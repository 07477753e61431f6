//! A server of raw TCP that answers as it is told, once per connection, and remembers what it read.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dues::config;
use dues::gateway::http::Http;
use dues::gateway::payments::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The largest answer that the client under test reads.
pub const BODY_LIMIT_BYTES: usize = 256 * 1024;
/// Its limit for the whole exchange; silence is given up earlier.
pub const TIMEOUT: Duration = Duration::from_millis(900);

/// What the server does with one connection.
pub enum Answer {
    /// A whole answer.
    Whole(u16, String),
    /// A whole answer with one more header line.
    WithHeader(u16, &'static str, String),
    /// Closes without reading.
    CloseAtOnce,
    /// Reads the request, then closes.
    CloseAfterRequest,
    /// A 202 that promises the whole text and ends after half of it.
    Half(String),
    /// A 200 of so many bytes.
    Large(usize),
    /// The head of a 200, then a byte every 20 ms.
    Drip,
    /// A whole answer on a connection that is kept; the next request on it is read, and the connection closed.
    WholeThenCloseAfterNext(u16, String),
    /// A whole answer on a connection that promises to be kept and is closed.
    WholeThenClose(u16, String),
    /// Reads the request and says nothing.
    Silence,
}

/// A running server; it ends with the test's runtime.
pub struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    pub written_bytes: Arc<AtomicUsize>,
}

impl Answer {
    pub fn json(status: u16, body: &Value) -> Answer {
        Answer::Whole(status, body.to_string())
    }

    /// An error in the gateway's form.
    pub fn error(status: u16, code: &str) -> Answer {
        let body = json!({"request_id": "req-1", "error_type": "request_invalid", "error_codes": [code]});
        Answer::json(status, &body)
    }
}

impl Server {
    pub async fn start(answers: Vec<Answer>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server {
            url: format!("http://{}", listener.local_addr().unwrap()),
            connections: Arc::default(),
            requests: Arc::default(),
            written_bytes: Arc::default(),
        };
        let (connections, requests) = (server.connections.clone(), server.requests.clone());
        let written_bytes = server.written_bytes.clone();
        tokio::spawn(async move {
            let mut answers = answers.into_iter();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let answer = answers.next().unwrap_or_else(|| Answer::Whole(500, "no more answers".to_owned()));
                // Each connection is served by itself, as one that only drips must not hold up the next.
                tokio::spawn(serve(stream, answer, requests.clone(), written_bytes.clone()));
            }
        });
        server
    }

    pub fn client(&self) -> Client {
        client(&self.url)
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Each request's head and body, in the order in which they came.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The request lines.
    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.lines().next().unwrap_or_default().to_owned()).collect()
    }
}

/// A client with short limits.
pub fn client(url: &str) -> Client {
    let http = Http::new(&settings(url)).unwrap();
    Client::new(Arc::new(http), &"sk_sbox_of_a_test".to_owned().into())
}

pub fn settings(url: &str) -> config::Gateway {
    config::Gateway {
        url: url.to_owned(),
        secret_key_file: None,
        processing_channel_id: None,
        merchant_initiated: true,
        success_url: "https://example.com/payments/success".to_owned(),
        failure_url: "https://example.com/payments/failure".to_owned(),
        connect_timeout: Duration::from_millis(300),
        read_timeout: Duration::from_millis(400),
        timeout: TIMEOUT,
        body_limit_bytes: BODY_LIMIT_BYTES,
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, requests: Arc<Mutex<Vec<String>>>, written: Arc<AtomicUsize>) {
    if matches!(answer, Answer::CloseAtOnce) {
        return;
    }
    let request = read_request(&mut stream).await;
    requests.lock().unwrap().push(request);
    match answer {
        Answer::CloseAtOnce | Answer::CloseAfterRequest => {}
        Answer::Silence => std::future::pending().await,
        Answer::Whole(status, body) => {
            write(&mut stream, status, "Connection: close\r\nCko-Request-Id: cko-1", &body).await
        }
        Answer::WithHeader(status, header, body) => write(&mut stream, status, header, &body).await,
        Answer::WholeThenClose(status, body) => write(&mut stream, status, "Connection: keep-alive", &body).await,
        Answer::WholeThenCloseAfterNext(status, body) => {
            write(&mut stream, status, "Connection: keep-alive", &body).await;
            let next = read_request(&mut stream).await;
            requests.lock().unwrap().push(next);
        }
        Answer::Half(body) => {
            let head = format!("HTTP/1.1 202 X\r\nContent-Length: {}\r\n\r\n{}", body.len(), &body[..body.len() / 2]);
            let _ = stream.write_all(head.as_bytes()).await;
        }
        Answer::Large(bytes) => {
            let _ = stream.write_all(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            let piece = vec![b' '; 65_536];
            for _ in 0..bytes / piece.len() {
                let sent = async {
                    stream.write_all(b"10000\r\n").await?;
                    stream.write_all(&piece).await?;
                    stream.write_all(b"\r\n").await
                };
                if sent.await.is_err() {
                    return;
                }
                written.fetch_add(piece.len(), Ordering::SeqCst);
            }
            let _ = stream.write_all(b"0\r\n\r\n").await;
        }
        Answer::Drip => {
            let _ = stream.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n").await;
            while stream.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn write(stream: &mut TcpStream, status: u16, header: &str, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status} X\r\n{header}\r\nContent-Length: {length}\r\n\r\n{body}");
    let _ = stream.write_all(text.as_bytes()).await;
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&piece[..read]),
            _ => return text,
        }
    }
}
