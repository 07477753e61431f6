//! The sandbox behind a socket. Only here does anything wait: for a slow answer, and for the end of one that never comes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, Method as Verb, StatusCode, header};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::exchange::{Answer, Fate, HttpRequest, Method};
use super::{Sandbox, StateFile, StateFileError};

/// The largest request body that is read.
const BODY_LIMIT_BYTES: usize = 1024 * 1024;
/// A connection that gets no answer is dropped after this long, if the client has not gone before.
const SILENCE: Duration = Duration::from_secs(60);
/// The least time between two writings of the state: a kill loses at most what happened since the last one.
const SAVE_PACE: Duration = Duration::from_secs(1);
/// After a writing it rests so many times as long as that took: large books are written less often, and answers go on between.
const SAVE_REST: u32 = 9;

/// Why a sandbox stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener failed for good.
    #[error("the sandbox could not go on listening")]
    Listener(#[source] io::Error),
    /// Its state could not be written, and a stand-in that forgets is none.
    #[error("the sandbox stopped because it could not keep its state")]
    State(#[source] StateFileError),
}

impl Sandbox {
    /// Answers on `listener` until `stop` is ready; answers that are under way are finished, withheld ones are dropped.
    ///
    /// # Errors
    /// Where the listener fails for good.
    pub async fn serve(
        &self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let stopped = CancellationToken::new();
        let router = Router::new().fallback(door).with_state(Door { sandbox: self.clone(), stopped: stopped.clone() });
        let service = router.into_make_service_with_connect_info::<Line>();
        axum::serve(Cuttable(listener), service)
            .with_graceful_shutdown(async move {
                stop.await;
                stopped.cancel();
            })
            .await
    }

    /// The same, and the state is kept in `file`: at a bounded pace where something has changed, and at the stop. The caller has
    /// saved once before: from then on the ids of this run are its own.
    ///
    /// # Errors
    /// [`ServeError`]: the listener or the file failed.
    pub async fn serve_kept(
        &self,
        listener: TcpListener,
        file: StateFile,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let file = Arc::new(file);
        // Read before the first request can change anything.
        let saved = self.changes();
        tokio::select! {
            biased;
            served = self.serve(listener, stop) => served.map_err(ServeError::Listener)?,
            failed = self.keep(&file, saved) => return Err(ServeError::State(failed)),
        }
        self.save_beside(&file).await.map_err(ServeError::State)
    }

    /// Saves whenever something has changed since `saved`, until that fails.
    async fn keep(&self, file: &Arc<StateFile>, mut saved: u64) -> StateFileError {
        loop {
            let (changes, began) = (self.changes(), self.0.clock.since_boot());
            if saved != changes {
                if let Err(failed) = self.save_beside(file).await {
                    return failed;
                }
                saved = changes;
            }
            let took = self.0.clock.since_boot().saturating_sub(began);
            tokio::time::sleep(SAVE_PACE.max(took.saturating_mul(SAVE_REST))).await;
        }
    }

    /// Saves on a thread that may wait for the disk.
    async fn save_beside(&self, file: &Arc<StateFile>) -> Result<(), StateFileError> {
        let (sandbox, file) = (self.clone(), Arc::clone(file));
        let saved = tokio::task::spawn_blocking(move || sandbox.save(&file)).await;
        saved.expect("saving does not panic, and nobody aborts it")
    }
}

#[derive(Clone)]
struct Door {
    sandbox: Sandbox,
    stopped: CancellationToken,
}

async fn door(State(door): State<Door>, ConnectInfo(line): ConnectInfo<Line>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let method = match head.method {
        Verb::GET => Method::Get,
        Verb::POST => Method::Post,
        _ => return bare(StatusCode::METHOD_NOT_ALLOWED),
    };
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT_BYTES).await else {
        return bare(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let text = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let answer = door.sandbox.handle(HttpRequest {
        method,
        path: head.uri.path_and_query().map_or("/", |path| path.as_str()),
        authorization: text(header::AUTHORIZATION),
        idempotency_key: text(HeaderName::from_static("cko-idempotency-key")),
        body: &body,
    });
    let wait = match answer.fate {
        Fate::Deliver => return written(answer),
        Fate::After(delay) => delay,
        Fate::Never => SILENCE,
    };
    // A client that goes away drops this future, and with it the wait.
    let waited = tokio::select! {
        biased;
        () = door.stopped.cancelled() => false,
        () = tokio::time::sleep(wait) => true,
    };
    if answer.fate == Fate::Never || !waited {
        line.cut();
    }
    written(answer)
}

fn written(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = answer.content_type.map(|value| (header::CONTENT_TYPE, HeaderValue::from_static(value)));
    let others = answer.headers.into_iter().filter_map(|(name, value)| {
        // A return URL that is no header value is left out rather than trusted.
        Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
    });
    response.headers_mut().extend(content_type.into_iter().chain(others));
    response
}

fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A listener whose connections can be cut from within a handler: HTTP has no other way to end a request without an answer.
struct Cuttable(TcpListener);

/// One connection.
struct Wire {
    stream: TcpStream,
    line: Line,
}

/// What a handler holds of its connection.
#[derive(Debug, Clone, Default)]
struct Line(Arc<AtomicBool>);

impl Line {
    /// From now on nothing is written: the connection ends as if a router had lost it.
    fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn checked(&self) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl Connected<IncomingStream<'_, Cuttable>> for Line {
    fn connect_info(stream: IncomingStream<'_, Cuttable>) -> Self {
        stream.io().line.clone()
    }
}

impl Listener for Cuttable {
    type Io = Wire;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Wire, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Small answers must not wait for the client's acknowledgement; where this fails they are merely slower.
        let _ = stream.set_nodelay(true);
        (Wire { stream, line: Line::default() }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.line.checked() {
            Ok(()) => Pin::new(&mut self.stream).poll_write(cx, bytes),
            Err(cut) => Poll::Ready(Err(cut)),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.line.checked() {
            Ok(()) => Pin::new(&mut self.stream).poll_write_vectored(cx, bytes),
            Err(cut) => Poll::Ready(Err(cut)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
