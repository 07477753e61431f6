//! `erase`: takes a customer's name and e-mail out of the books, beside the running daemons. A request that may still be sent must stay the
//! same to the byte, or the gateway could take it for another payment: until then nothing is erased.

use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::Instant;
use crate::engine::EngineError;
use crate::store::customers::erase::BarRow;
use crate::store::{Store, StoreError};

/// Why nothing was erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// No such customer.
    #[error("there is no customer {0:?}; `dues subscription show` tells the customer of a subscription")]
    NotFound(String),
    /// Requests with their data may still be sent.
    #[error("nothing was erased: {}", told(.0))]
    MayBeSent(Vec<Bar>),
    /// The books.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// An attempt whose request holds the data, and may still be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// The charge's shown id.
    pub charge: String,
    /// Why it may still be sent, and what ends that.
    pub why: &'static str,
    /// Until when, as things stand.
    pub until: Instant,
}

/// Empties name and e-mail in every version of a customer; how many held data. A key lives `key_life` at the gateway.
///
/// # Errors
/// [`EraseError`].
pub async fn erase(
    store: &Store,
    key_life: Duration,
    reference: &str,
    reason: &str,
    operator: &str,
) -> Result<u64, EraseError> {
    let key_life = TimeDelta::from_std(key_life).unwrap_or(TimeDelta::MAX);
    let work = async {
        let mut tx = store.begin("erase").await?;
        let Some(customer) = tx.customer_to_erase(reference).await? else {
            return Ok(Err(EraseError::NotFound(reference.to_owned())));
        };
        if customer.with_data == 0 {
            return Ok(Ok(0));
        }
        let now = tx.now().await?;
        let bars = tx.bars_to_erasure(reference, now - key_life).await?;
        if !bars.is_empty() {
            let bars = bars.into_iter().map(|row| bar(row, key_life)).collect();
            return Ok(Err(EraseError::MayBeSent(bars)));
        }
        let emptied = tx.erase_customer(reference, reason, operator, now).await?;
        tx.commit().await?;
        Ok::<_, StoreError>(Ok(emptied))
    };
    work.await.map_err(EngineError::of("erase"))?
}

fn bar(row: BarRow, key_life: TimeDelta) -> Bar {
    let (why, until) = match row.state.as_str() {
        "created" => ("waits to be sent; `dues charge void` or `dues subscription cancel` withdraws it", row.next_at),
        "sending" => ("is on its way to the gateway", row.next_at),
        "pending" => (
            "is sent again until the gateway has named the wallet, because the answer to a first payment was lost; that takes a few \
             minutes, and at the latest its key ends it",
            row.next_at,
        ),
        _ => (
            "may be sent again, because its outcome is unknown and its key still lives",
            row.first_sent_at.unwrap_or(row.next_at) + key_life,
        ),
    };
    Bar { charge: row.charge, why, until }
}

fn told(bars: &[Bar]) -> String {
    let until = bars.iter().map(|it| it.until).max();
    let each: Vec<String> = bars.iter().map(|it| format!("the request of {} {}", it.charge, it.why)).collect();
    let until = until.map(|it| it.format("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default();
    format!("{}. It holds the name and e-mail it was made with. Try again after {until}", each.join("; "))
}
