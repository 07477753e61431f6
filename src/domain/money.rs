//! Money: a whole number of minor units with its ISO 4217 currency. No floating point, every operation checked.

use std::fmt;
use std::str::FromStr;

/// The gateway takes amounts of at most nine digits.
pub const LARGEST_AMOUNT_MINOR: i64 = 999_999_999;

/// An ISO 4217 currency that has minor units, with its exponent (HKD 2, JPY 0, KWD 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: [u8; 3],
    exponent: u8,
}

/// A text that is no currency we can charge in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an ISO 4217 currency code in capitals with minor units, such as HKD")]
pub struct NotACurrency(String);

impl Currency {
    /// The three capital letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).expect("a currency is made of ASCII capitals")
    }

    /// How many decimal digits the minor unit has.
    pub fn exponent(&self) -> u8 {
        self.exponent
    }
}

impl FromStr for Currency {
    type Err = NotACurrency;
    fn from_str(text: &str) -> Result<Self, NotACurrency> {
        let refused = || NotACurrency(text.to_owned());
        let known = iso_currency::Currency::from_code(text).ok_or_else(refused)?;
        let exponent = known.exponent().and_then(|e| u8::try_from(e).ok()).ok_or_else(refused)?;
        let code = text.as_bytes().try_into().map_err(|_| refused())?;
        Ok(Currency { code, exponent })
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount in a currency. `Display` writes it exactly, `128.00 HKD`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units, such as cents.
    pub amount_minor: i64,
    /// What the minor units are units of.
    pub currency: Currency,
}

/// Why a sum or an amount was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Two currencies met in one operation.
    #[error("{0} and {1} cannot be added")]
    Mixed(Currency, Currency),
    /// The result does not fit in 64 bits.
    #[error("the sum of {0} and {1} is too large")]
    Overflow(Money, Money),
    /// Not an amount that can be charged.
    #[error("an amount to charge must lie between 1 and {LARGEST_AMOUNT_MINOR} minor units, not {0}")]
    NotChargeable(i64),
}

impl Money {
    /// An amount that may be zero or negative: a balance or a difference.
    pub fn new(amount_minor: i64, currency: Currency) -> Self {
        Money { amount_minor, currency }
    }

    /// An amount that the gateway can charge: 1 to 999,999,999 minor units.
    ///
    /// # Errors
    /// [`MoneyError::NotChargeable`] outside that range.
    pub fn chargeable(amount_minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        if (1..=LARGEST_AMOUNT_MINOR).contains(&amount_minor) {
            Ok(Money { amount_minor, currency })
        } else {
            Err(MoneyError::NotChargeable(amount_minor))
        }
    }

    /// The sum, where both are of one currency and it fits.
    ///
    /// # Errors
    /// [`MoneyError::Mixed`], [`MoneyError::Overflow`].
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed(self.currency, other.currency));
        }
        self.amount_minor
            .checked_add(other.amount_minor)
            .map(|amount_minor| Money { amount_minor, ..self })
            .ok_or(MoneyError::Overflow(self, other))
    }

    /// The exact decimal in major units, without the currency: `128.00`.
    pub fn decimal(&self) -> String {
        let exponent = usize::from(self.currency.exponent());
        let digits = format!("{:0width$}", self.amount_minor.unsigned_abs(), width = exponent + 1);
        let (major, minor) = digits.split_at(digits.len() - exponent);
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        if exponent == 0 { format!("{sign}{major}") } else { format!("{sign}{major}.{minor}") }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[test]
    fn a_log_shows_an_amount_as_a_person_writes_it() {
        assert_eq!(format!("{:?} {:?}", currency("HKD"), Money::new(1100, currency("HKD"))), "HKD 11.00 HKD");
    }

    #[test]
    fn decimals_follow_the_exponent() {
        for (amount_minor, code, text) in [
            (1100, "HKD", "11.00 HKD"),
            (5, "HKD", "0.05 HKD"),
            (-5, "HKD", "-0.05 HKD"),
            (0, "SGD", "0.00 SGD"),
            (1100, "JPY", "1100 JPY"),
            (1, "KWD", "0.001 KWD"),
            (i64::MIN, "HKD", "-92233720368547758.08 HKD"),
        ] {
            assert_eq!(Money::new(amount_minor, currency(code)).to_string(), text);
        }
    }

    #[test]
    fn codes_without_minor_units_and_small_letters_are_refused() {
        for text in ["hkd", "XAU", "HK", "", "HKDD", "ÄÖÜ"] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
    }

    #[test]
    fn sums_are_checked() {
        let hkd = currency("HKD");
        let one = Money::new(1, hkd);
        assert_eq!(one.checked_add(Money::new(2, hkd)), Ok(Money::new(3, hkd)));
        assert!(matches!(one.checked_add(Money::new(1, currency("SGD"))), Err(MoneyError::Mixed(..))));
        assert!(matches!(one.checked_add(Money::new(i64::MAX, hkd)), Err(MoneyError::Overflow(..))));
        for amount_minor in [0, -1, LARGEST_AMOUNT_MINOR + 1] {
            assert!(Money::chargeable(amount_minor, hkd).is_err());
        }
    }
}
