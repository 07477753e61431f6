//! What may stand in a file once: a first payment, and a source with the plan that it is charged for unless one more is meant. That a
//! reference does is seen when the set is read.

use std::collections::BTreeMap;

use super::{BooksError, Good, Import, RejectedRows};
use crate::store::first_lines::{FirstLines, Once};

impl Import {
    /// The rows whose first payment no row before them has, nor their source for the same plan unless one more is meant. Only rows that
    /// are good so far stand in another's way.
    pub(super) async fn once(
        &self,
        good: Vec<Good>,
        first_lines: &mut FirstLines,
        rejected: &mut RejectedRows,
    ) -> Result<Vec<Good>, BooksError> {
        let payment = |it: &Good| it.row.hand_over.first_payment_id.clone();
        // No plan's name, and no source's id, holds a control character.
        let pair = |it: &Good| {
            let source_id = it.accepted.source_id();
            (!source_id.is_empty()).then(|| format!("{source_id}\t{}", it.accepted.plan()))
        };
        let payments: Vec<(String, u64)> = good.iter().filter_map(|it| Some((payment(it)?, it.row.line))).collect();
        let payments = first_lines.note(Once::FirstPayment, &payments).await?;
        let earlier = |lines: &BTreeMap<String, u64>, key: Option<String>, line: u64| {
            key.and_then(|key| lines.get(&key).copied()).filter(|first| *first != line)
        };
        let mut distinct = Vec::new();
        for it in good {
            match earlier(&payments, payment(&it), it.row.line) {
                None => distinct.push(it),
                Some(first) => {
                    let why =
                        format!("first_payment_id stands on line {first} already: one payment begins one subscription");
                    rejected.insert(it.row.line, (it.row.record, why));
                }
            }
        }
        let pairs: Vec<(String, u64)> = distinct.iter().filter_map(|it| Some((pair(it)?, it.row.line))).collect();
        let pairs = first_lines.note(Once::SourceAndPlan, &pairs).await?;
        let mut once = Vec::new();
        for mut it in distinct {
            match earlier(&pairs, pair(&it), it.row.line) {
                Some(first) if !self.terms.another => {
                    let why = format!(
                        "source_id stands on line {first} already with the same plan: import with --another where one more \
                         subscription is meant"
                    );
                    rejected.insert(it.row.line, (it.row.record, why));
                }
                first => {
                    it.another = first.is_some();
                    once.push(it);
                }
            }
        }
        Ok(once)
    }
}
