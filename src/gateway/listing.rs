//! Putting the pages of a look-up together. Absence is believed on the strength of such a list, so everything odd makes it none:
//! a page unread, a page shorter than it should be, a total that moves, an entry that is not ours.

use std::collections::BTreeSet;

use super::outcome::{LookUpOutcome, Read, Reason, read};
use super::payment::Payment;
use super::transport::{Lost, Reply};
use super::wire::{self, PageAnswer};

/// The largest page the gateway gives.
pub(super) const PAGE_SIZE: usize = 100;
/// One billing period has a handful of payments; a list so long is not one.
const MOST_PAYMENTS: usize = 5_000;

/// The path of one page.
pub(super) fn path(reference: &str, limit: usize, skip: usize) -> String {
    format!("/payments?reference={}&limit={limit}&skip={skip}", in_query(reference))
}

/// A list that is being read.
pub(super) struct Listing<'a> {
    reference: &'a str,
    total: Option<usize>,
    payments: Vec<Payment>,
    seen: BTreeSet<String>,
}

impl<'a> Listing<'a> {
    pub(super) fn of(reference: &'a str) -> Self {
        Listing { reference, total: None, payments: Vec::new(), seen: BTreeSet::new() }
    }

    /// Where the next page begins.
    pub(super) fn skip(&self) -> usize {
        self.payments.len()
    }

    /// Takes the next page; none while there are more to read.
    pub(super) fn add(&mut self, came: Result<Reply, Lost>) -> Option<LookUpOutcome> {
        let reply = match read(came) {
            Read::Whole(reply) => reply,
            Read::NotFound => return Some(no_conclusion(Reason::Status(404))),
            Read::OurFault { status } => return Some(LookUpOutcome::OurFault { status }),
            Read::RateLimited => return Some(LookUpOutcome::RateLimited),
            Read::NoConclusion { reason, server_error } => {
                return Some(LookUpOutcome::NoConclusion { reason, server_error });
            }
        };
        match self.append(&reply) {
            Ok(true) => Some(LookUpOutcome::Listed(std::mem::take(&mut self.payments))),
            Ok(false) => None,
            Err(reason) => Some(no_conclusion(reason)),
        }
    }

    /// Whether the list is whole now.
    fn append(&mut self, reply: &Reply) -> Result<bool, Reason> {
        let page: PageAnswer = wire::parse(&reply.body).ok_or(Reason::Unreadable(reply.status))?;
        let total = usize::try_from(page.total_count).unwrap_or(usize::MAX);
        if total > MOST_PAYMENTS {
            return Err(Reason::List("it is longer than any period's payments can be"));
        }
        if *self.total.get_or_insert(total) != total {
            return Err(Reason::List("its length changed between two pages"));
        }
        if page.data.len() != (total - self.payments.len()).min(PAGE_SIZE) {
            return Err(Reason::List("a page does not hold as many payments as it should"));
        }
        for entry in page.data {
            let answer = wire::object(entry).ok_or(Reason::List("an entry is no payment"))?;
            let payment =
                Payment::from_wire(answer, reply.request_id.clone()).ok_or(Reason::List("an entry has no id"))?;
            // A missing reference is let pass: the entry may be ours, and what it lacks is seen when it is compared.
            if payment.reference.as_deref().is_some_and(|theirs| theirs != self.reference) {
                return Err(Reason::List("an entry bears another reference"));
            }
            if !self.seen.insert(payment.id.clone()) {
                return Err(Reason::List("an entry came twice"));
            }
            self.payments.push(payment);
        }
        Ok(self.payments.len() == total)
    }
}

fn no_conclusion(reason: Reason) -> LookUpOutcome {
    LookUpOutcome::NoConclusion { reason, server_error: false }
}

/// Percent-encoding of a query's value (RFC 3986: everything but the unreserved characters).
fn in_query(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
