//! The page on which a wallet leaves its customer after a first payment. It knows nothing of the payment and says so: whether money was taken
//! is asked at the gateway. One static page for each way back, nothing loaded from elsewhere, nothing of the request read or logged.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const STYLE: &str = "body{font:17px/1.6 system-ui,sans-serif;background:#f2f4f7;color:#1a1f29;margin:0;padding:2rem 1rem}\
main{max-width:26rem;margin:auto;background:#fff;border-radius:12px;padding:1.5rem;box-shadow:0 1px 6px #0002}\
.wallet{color:#1677ff;font-weight:700;margin:0}h1{font-size:1.5rem;margin:.4rem 0}\
.note{background:#fff4d6;border:1px solid #e5c76b;border-radius:8px;padding:.6rem .8rem}";

/// What the page says, in the two languages of its readers.
struct Words {
    title: &'static str,
    english: &'static str,
    chinese: &'static str,
}

const SUCCESS: Words = Words {
    title: "You are back from the wallet",
    english: "Your payment is being confirmed. You can close this page.",
    chinese: "付款正在確認中,你可以關閉此頁。",
};
const FAILURE: Words = Words {
    title: "The wallet reports no payment",
    english: "The payment was not completed, or was canceled. Go back to the shop to try again.",
    chinese: "付款未完成或已取消,請返回商戶重試。",
};

/// A bound listener.
pub(super) struct Page(TcpListener);

impl Page {
    /// Takes the port.
    pub async fn bind(address: SocketAddr) -> anyhow::Result<Page> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("http.return_listen = {address} cannot be used; choose another port, or \"\" for none")
        })?;
        Ok(Page(listener))
    }

    /// Serves until `stop`.
    pub async fn serve(self, stop: CancellationToken) {
        let router = Router::new()
            .route("/return/success", get(async || answer(StatusCode::OK, whole(&SUCCESS))))
            .route("/return/failure", get(async || answer(StatusCode::OK, whole(&FAILURE))))
            .fallback(async || {
                answer(StatusCode::NOT_FOUND, "<!doctype html><title>Not found</title>Not found\n".to_owned())
            });
        let served = axum::serve(self.0, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the listener of the return page ended: {error}");
        }
    }
}

/// Nothing is run, framed, kept or told to another site; of styles only ours counts.
fn answer(status: StatusCode, page: String) -> impl IntoResponse {
    let style = BASE64.encode(&Sha256::digest(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers: [(HeaderName, String); 6] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::X_FRAME_OPTIONS, "DENY".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (status, headers, page)
}

fn whole(words: &Words) -> String {
    let Words { title, english, chinese } = words;
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\">\
         <title>{title}</title><style>{STYLE}</style></head>\n<body><main>\n<p class=\"wallet\">AlipayHK 支付寶HK</p>\n\
         <h1>{title}</h1>\n<p>{english}</p>\n<p lang=\"zh-Hant\">{chinese}</p>\n\
         <p class=\"note\">This page is not proof of payment. What was paid stands in your wallet, and the shop confirms it.<br>\
         <span lang=\"zh-Hant\">此頁並非付款證明,請以電子錢包紀錄及商戶確認為準。</span></p>\n</main></body></html>\n"
    )
}
