//! A row whose subscription is in the books already, and what it states otherwise. An import changes nothing that is there: whoever reads
//! "already there" of a customer's new source would believe that the old one is charged no more.

use crate::engine::hand_over::HandOver;
use crate::store::subscriptions::ThereRow;

/// What the row states otherwise, as a reason to reject it; none where it states nothing otherwise. What one of the two does not say is not
/// compared: a cell may be left out, and a customer's data may have been taken out of the books.
pub fn otherwise(row: &HandOver, there: &ThereRow) -> Option<String> {
    let mut faults = Vec::new();
    if let Some(source) = there.gateway_source_id.as_deref()
        && !row.source_id.is_empty()
        && source != row.source_id
    {
        faults.push(format!("another source_id, {source}"));
    }
    if let Some(plan) = there.plan.as_deref()
        && plan != row.plan
    {
        faults.push(format!("another plan, {plan}"));
    }
    if let (Some(email), Some(stated)) = (there.email.as_deref(), row.customer.email.as_deref())
        && email.to_lowercase() != stated.to_lowercase()
    {
        faults.push("another customer_email".to_owned());
    }
    (!faults.is_empty()).then(|| {
        format!(
            "reference is there with {}: an import changes nothing that is there; where the row is right, end that one by \
             `dues subscription cancel` and enter the row under a new reference",
            faults.join(", and ")
        )
    })
}
