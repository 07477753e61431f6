//! The ids that people see: a prefix and a UUID v7 in base32, `sub_06hk3…`. They sort by the time they were made.
//! Ids that the gateway gives (`pay_…`, `src_…`) are kept as the gateway wrote them.

use std::fmt;
use std::str::FromStr;

use data_encoding::{Encoding, Specification};
use std::sync::LazyLock;
use uuid::Uuid;

use crate::clock::Instant;

/// Base32 with the digits before the letters (RFC 4648, "extended hex"), lower case, unpadded: text order is byte order.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789abcdefghijklmnopqrstuv");
    specification.encoding().expect("thirty-two distinct symbols make an encoding")
});

/// Bytes as lower-case base32 whose text sorts like its bytes.
pub fn base32(bytes: &[u8]) -> String {
    BASE32.encode(bytes)
}

/// What a text that should be an id is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct NotAnId {
    text: String,
    wanted: &'static str,
}

macro_rules! shown_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, from the time and ten random bytes (RFC 9562, UUID v7).
            pub fn new(now: Instant, random: [u8; 10]) -> Self {
                let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
                $name(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), base32(self.0.as_bytes()))
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let wanted = concat!("an id of the form ", $prefix, "_ and 26 letters and digits");
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(|rest| BASE32.decode(rest.as_bytes()).ok())
                    .and_then(|bytes| Uuid::from_slice(&bytes).ok())
                    .map($name)
                    .ok_or_else(|| NotAnId { text: text.to_owned(), wanted })
            }
        }
    };
}

shown_id!(
    /// A subscription's id, `sub_…`.
    SubscriptionId, "sub"
);
shown_id!(
    /// A charge's id, `chg_…`.
    ChargeId, "chg"
);
shown_id!(
    /// A review case's id, `rev_…`.
    ReviewId, "rev"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant_from_micros;

    #[test]
    fn an_id_reads_back_and_sorts_by_time() {
        let early = SubscriptionId::new(instant_from_micros(1_700_000_000_000_000), [7; 10]);
        let late = SubscriptionId::new(instant_from_micros(1_700_000_000_001_000), [0; 10]);
        assert_eq!(early.to_string().parse(), Ok(early));
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string().len(), "sub_".len() + 26);
    }

    #[test]
    fn another_prefix_is_refused() {
        let id = ChargeId::new(instant_from_micros(0), [1; 10]).to_string();
        assert!(id.parse::<SubscriptionId>().is_err());
        assert!("sub_".parse::<SubscriptionId>().is_err());
        assert!("sub_zzzz".parse::<SubscriptionId>().is_err());
    }
}
