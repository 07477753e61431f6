//! The price that a row states. It is held against the plan's and never charged: a row that states another was meant for another plan.

use super::columns::Cells;
use crate::domain::money::{Currency, LARGEST_AMOUNT_MINOR, Money};

/// What a row says of its price; nothing, where the columns are absent or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stated {
    currency: Option<Currency>,
    amount_minor: Option<i64>,
    /// The digits before and after the point. How many decimals there may be is the currency's matter.
    amount: Option<(String, String)>,
}

impl Stated {
    /// Reads the price of a row; what is wrong with its cells is told to `note` by column.
    pub fn read(cells: &Cells, mut note: impl FnMut(&str, &str)) -> Stated {
        let currency = cells.get("currency").and_then(|text| {
            let currency = text.parse().ok();
            if currency.is_none() {
                note("currency", "is no ISO 4217 code in capitals, such as HKD");
            }
            currency
        });
        let amount_minor = cells.get("amount_minor").and_then(|text| {
            if !is_digits(text) {
                note("amount_minor", "is no whole number of minor units, such as 12800");
                return None;
            }
            chargeable(text).map_err(|why| note("amount_minor", why)).ok()
        });
        let amount = cells.get("amount").and_then(|text| {
            let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
            if !is_digits(major) || !is_digits(minor) {
                note("amount", "is no decimal number of the form 128.00");
                return None;
            }
            if text.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
                note("amount", ZERO);
                return None;
            }
            let minor = if text.contains('.') { minor } else { "" };
            Some((major.to_owned(), minor.to_owned()))
        });
        Stated { currency, amount_minor, amount }
    }

    /// Whether this is the price of the row's plan.
    ///
    /// # Errors
    /// Why not, fit for an operator.
    pub fn agrees(&self, price: Money) -> Result<(), String> {
        let other = |column: &str| Err(format!("{column} is not the price of the plan, which is {price}"));
        if self.currency.is_some_and(|currency| currency != price.currency) {
            return other("currency");
        }
        if self.amount_minor.is_some_and(|amount_minor| amount_minor != price.amount_minor) {
            return other("amount_minor");
        }
        if let Some((major, minor)) = &self.amount {
            let exponent = usize::from(price.currency.exponent());
            if minor.len() > exponent {
                return Err(format!("amount has more than the {exponent} decimals of {}", price.currency));
            }
            let amount_minor =
                chargeable(&format!("{major}{minor:0<exponent$}")).map_err(|why| format!("amount {why}"))?;
            if amount_minor != price.amount_minor {
                return other("amount");
            }
        }
        Ok(())
    }
}

const ZERO: &str = "is 0, and nothing can be charged";

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Minor units of digits alone.
fn chargeable(digits: &str) -> Result<i64, &'static str> {
    let too_many = "has more than 9 digits in minor units, the most that can be charged";
    match digits.parse() {
        Ok(0) => Err(ZERO),
        Ok(amount_minor) if amount_minor <= LARGEST_AMOUNT_MINOR => Ok(amount_minor),
        _ => Err(too_many),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(amount: &str, currency: &str, price: Money) -> String {
        let mut cells = Cells::default();
        cells.put("amount", amount);
        cells.put("currency", currency);
        let mut faults = Vec::new();
        let stated = Stated::read(&cells, |column, what| faults.push(format!("{column} {what}")));
        faults.extend(stated.agrees(price).err());
        faults.join("; ")
    }

    #[test]
    fn decimals_are_those_of_the_currency() {
        let price = |amount_minor, code: &str| Money::new(amount_minor, code.parse().unwrap());
        let yen = price(1280, "JPY");
        for (amount, price, wanted) in [
            ("128", price(12_800, "HKD"), ""),
            ("128.0", price(12_800, "HKD"), ""),
            ("0128.00", price(12_800, "HKD"), ""),
            ("128.000", price(12_800, "HKD"), "amount has more than the 2 decimals of HKD"),
            ("128.000", price(128_000, "KWD"), ""),
            ("1280", yen, ""),
            ("1280.0", yen, "amount has more than the 0 decimals of JPY"),
            ("9999999.99", price(999_999_999, "HKD"), ""),
            (
                "10000000",
                price(12_800, "HKD"),
                "amount has more than 9 digits in minor units, the most that can be charged",
            ),
            ("0.00", price(12_800, "HKD"), "amount is 0, and nothing can be charged"),
            ("128.01", price(12_800, "HKD"), "amount is not the price of the plan, which is 128.00 HKD"),
        ] {
            assert_eq!(told(amount, "", price), wanted, "{amount} {price}");
        }
    }

    #[test]
    fn what_is_no_amount_is_not_guessed() {
        let price = Money::new(12_800, "HKD".parse().unwrap());
        for amount in ["-1", "+1", "1,280", "1.", ".5", "1.2.3", "1e2", "١"] {
            assert_eq!(told(amount, "", price), "amount is no decimal number of the form 128.00", "{amount}");
        }
        assert_eq!(told("128", "SGD", price), "currency is not the price of the plan, which is 128.00 HKD");
        assert_eq!(told("128", "hkd", price), "currency is no ISO 4217 code in capitals, such as HKD");
    }
}
