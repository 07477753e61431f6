//! Which of a set cannot be entered beside what the books hold, and beside the rest of the set: a source that cannot be charged, a first
//! payment that began a subscription already, and, where nobody has said that it is meant, one more on the same source and plan.

use std::collections::{BTreeMap, BTreeSet};

use super::{Acceptable, Refusal, chargeable};
use crate::store::sources::KnownSource;
use crate::store::subscriptions::{BegunBy, ToBegin};

/// What the books know of a set.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Its sources.
    pub sources: BTreeMap<String, KnownSource>,
    /// Who was begun by its first payments.
    pub begun_by: BegunBy,
    /// Who charges the same source for the same plan, by reference of the set.
    pub beside: BTreeMap<String, String>,
}

/// What becomes of a set.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// Why some are refused, by reference.
    pub refused: BTreeMap<String, Refusal>,
    /// Those of the others that stand beside one on the same source and plan.
    pub beside: BTreeSet<String>,
}

/// A set as the books are asked about it.
pub(super) fn asked(set: &[Acceptable]) -> Vec<ToBegin<'_>> {
    let asked = set.iter().map(|it| ToBegin {
        reference: &it.hand_over.reference,
        source_id: &it.hand_over.source_id,
        plan: &it.hand_over.plan,
        first_payment_id: it.hand_over.first_payment_id.as_deref(),
    });
    asked.collect()
}

/// Decides over a set, in its order; `another`: whether more than one on a source and plan is meant.
pub(super) fn judge(set: &[Acceptable], known: &Known, another: bool) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let mut first_payments: BTreeMap<&str, &str> = BTreeMap::new();
    let mut sources: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for it in asked(set) {
        let source = known.sources.get(it.source_id);
        let begun = it.first_payment_id.and_then(|payment| {
            let in_books = known.begun_by.get(payment).into_iter().flatten().map(String::as_str);
            in_books.chain(first_payments.get(payment).copied()).find(|reference| *reference != it.reference)
        });
        let pair = (it.source_id, it.plan);
        let beside = known.beside.get(it.reference).map(String::as_str).or_else(|| sources.get(&pair).copied());
        let beside = beside.filter(|reference| *reference != it.reference);
        let refusal = match (source.map(|source| chargeable(source.state)), begun, beside) {
            (Some(Err(refusal)), _, _) => Some(refusal),
            (_, Some(by), _) => Some(Refusal::Begun { by: by.to_owned() }),
            (_, None, Some(by)) if !another => Some(Refusal::Stands { by: by.to_owned() }),
            (_, None, Some(_)) => {
                verdicts.beside.insert(it.reference.to_owned());
                None
            }
            (_, None, None) => None,
        };
        if let Some(refusal) = refusal {
            verdicts.refused.insert(it.reference.to_owned(), refusal);
            continue;
        }
        if let Some(payment) = it.first_payment_id {
            first_payments.entry(payment).or_insert(it.reference);
        }
        if !it.source_id.is_empty() {
            sources.entry(pair).or_insert(it.reference);
        }
    }
    verdicts
}
