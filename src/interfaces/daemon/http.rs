//! The daemon's own small HTTP listener: is it alive, is it ready, and if not, what is missing; and its figures.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::metrics;

/// A bound listener.
pub(super) struct Server(TcpListener);

impl Server {
    /// Takes the port.
    pub async fn bind(address: SocketAddr) -> anyhow::Result<Server> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("http.listen = {address} cannot be used; choose another port, or \"\" for none")
        })?;
        Ok(Server(listener))
    }

    /// Serves until `stop`.
    pub async fn serve(self, health: Arc<Health>, stop: CancellationToken) {
        let router = Router::new()
            .route("/healthz", get(alive))
            .route("/readyz", get(ready))
            .route("/metrics", get(measured))
            .with_state(health);
        let served = axum::serve(self.0, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the health listener ended: {error}");
        }
    }
}

async fn alive(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    let hanging = health.hanging();
    if hanging.is_empty() {
        (StatusCode::OK, "alive\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{} does not come round\n", hanging.join(", ")))
    }
}

async fn ready(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    let missing = health.not_ready();
    if missing.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", missing.join("\n")))
    }
}

async fn measured(State(health): State<Arc<Health>>) -> ([(header::HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::read(&health).await)
}
