//! From the cells of a row to a hand-over. Everything that is wrong with a row is told at once, and no text of a cell is ever part of
//! a reason: a shifted row has names and e-mail addresses in any column.

use chrono::NaiveDate;

use super::columns::Cells;
use super::format::LOST;
use super::price::Stated;
use crate::domain::calendar::Zone;
use crate::domain::customer::{LONGEST_PERSONAL, is_country, is_email};
use crate::domain::own_reference::{self, ReferenceFault};
use crate::engine::hand_over::HandOver;
use crate::store::customers::NewCustomer;

const DEFAULT_COUNTRY: &str = "HK";
const DEFAULT_ZONE: &str = "Asia/Hong_Kong";

/// The hand-over that the cells describe, and the price that they state; its source is empty where the first payment must tell it.
///
/// # Errors
/// Everything that is wrong, fit for an operator.
pub fn hand_over(cells: &Cells) -> Result<(HandOver, Stated), String> {
    let mut faults = Faults(Vec::new());
    for (column, text) in cells.iter() {
        if text.chars().any(char::is_control) {
            faults.note(column, "holds a control character");
        }
        if text.contains(LOST) {
            faults.note(column, "holds U+FFFD, which stands for what was lost: write what belongs there, or nothing");
        }
    }
    let reference = faults.required(cells, "reference");
    let plan = faults.required(cells, "plan");
    let first_payment_id = cells.get("first_payment_id");
    let source_id = match first_payment_id {
        Some(_) => cells.get("source_id").unwrap_or_default(),
        None => faults.required(cells, "source_id"),
    };
    if !source_id.is_empty() && !is_id(source_id, "src_") {
        faults.note("source_id", "is not src_ and letters or digits");
    }
    if first_payment_id.is_some_and(|id| !is_id(id, "pay_")) {
        faults.note("first_payment_id", "is not pay_ and letters or digits");
    }
    let customer_reference = cells.get("customer_reference").unwrap_or(reference);
    faults.own_reference("reference", reference);
    if customer_reference != reference {
        faults.own_reference("customer_reference", customer_reference);
    }
    let customer = NewCustomer {
        reference: customer_reference.to_owned(),
        name: cells.get("customer_name").map(str::to_owned),
        email: cells.get("customer_email").map(str::to_owned),
        country: cells.get("country").unwrap_or(DEFAULT_COUNTRY).to_owned(),
    };
    faults.bound("customer_name", customer.name.as_deref().unwrap_or_default(), LONGEST_PERSONAL);
    faults.bound("customer_email", customer.email.as_deref().unwrap_or_default(), LONGEST_PERSONAL);
    if customer.email.as_deref().is_some_and(|email| !is_email(email)) {
        faults.note("customer_email", "is no e-mail address");
    }
    if !is_country(&customer.country) {
        faults.note("country", "is not two capital letters, such as HK");
    }
    let anchor_on = faults.required(cells, "anchor_on");
    let anchor_on = faults.date("anchor_on", Some(anchor_on).filter(|text| !text.is_empty()));
    let next_charge_on = faults.date("next_charge_on", cells.get("next_charge_on"));
    let zone: Option<Zone> = cells.get("time_zone").unwrap_or(DEFAULT_ZONE).parse().ok();
    if zone.is_none() {
        faults.note("time_zone", "is no IANA name of area and place known here, such as Asia/Hong_Kong");
    }
    let stated = Stated::read(cells, |column, what| faults.note(column, what));
    match (anchor_on, zone) {
        (Some(anchor_on), Some(zone)) if faults.0.is_empty() => {
            let hand_over = HandOver {
                reference: reference.to_owned(),
                plan: plan.to_owned(),
                source_id: source_id.to_owned(),
                first_payment_id: first_payment_id.map(str::to_owned),
                customer,
                anchor_on,
                zone,
                next_charge_on,
            };
            Ok((hand_over, stated))
        }
        _ => Err(faults.0.join("; ")),
    }
}

struct Faults(Vec<String>);

impl Faults {
    fn note(&mut self, column: &str, what: &str) {
        self.0.push(format!("{column} {what}"));
    }

    fn required<'a>(&mut self, cells: &'a Cells, column: &str) -> &'a str {
        cells.get(column).unwrap_or_else(|| {
            self.note(column, "is missing");
            ""
        })
    }

    fn own_reference(&mut self, column: &str, text: &str) {
        match own_reference::check(text) {
            // Both were noted above, as of any other column.
            Ok(()) | Err(ReferenceFault::Missing | ReferenceFault::Control) => {}
            Err(fault) => self.note(column, &fault.to_string()),
        }
    }

    fn bound(&mut self, column: &str, text: &str, longest: usize) {
        if text.chars().count() > longest {
            self.note(column, &format!("is longer than {longest} characters"));
        }
    }

    /// A date of four, two and two digits: what else a date could mean is not guessed.
    fn date(&mut self, column: &str, text: Option<&str>) -> Option<NaiveDate> {
        let text = text?;
        let has_form = text.len() == "YYYY-MM-DD".len()
            && text.bytes().enumerate().all(|(place, byte)| match place {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        let date = text.parse().ok().filter(|_| has_form);
        match date {
            Some(_) => {}
            None if has_form => self.note(column, "is no day of the calendar"),
            None => self.note(column, "is no date of the form YYYY-MM-DD"),
        }
        date
    }
}

fn is_id(text: &str, prefix: &str) -> bool {
    let rest = text.strip_prefix(prefix).unwrap_or_default();
    (1..=96).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
