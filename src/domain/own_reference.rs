//! The merchant's own references, of subscriptions and customers: what may stand in one. Two that a person cannot tell apart would be two
//! subscriptions, and two charges.

/// The most characters that one may have.
pub const LONGEST: usize = 100;

/// Why a text is no reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceFault {
    /// There is none.
    #[error("is missing")]
    Missing,
    /// Too much of it.
    #[error("is longer than {LONGEST} characters")]
    TooLong,
    /// It would steer a terminal.
    #[error("holds a control character")]
    Control,
    /// It looks like another without that character.
    #[error("holds an invisible character, U+{0:04X}: write it without")]
    Invisible(u32),
    /// It looks like another without that blank.
    #[error("begins or ends with a blank")]
    Blank,
}

/// Whether the text may be a reference.
///
/// # Errors
/// [`ReferenceFault`].
pub fn check(text: &str) -> Result<(), ReferenceFault> {
    if text.is_empty() {
        return Err(ReferenceFault::Missing);
    }
    if text.chars().any(char::is_control) {
        return Err(ReferenceFault::Control);
    }
    if let Some(letter) = text.chars().find(|letter| is_invisible(*letter)) {
        return Err(ReferenceFault::Invisible(u32::from(letter)));
    }
    if text.chars().count() > LONGEST {
        return Err(ReferenceFault::TooLong);
    }
    if text.trim() != text {
        return Err(ReferenceFault::Blank);
    }
    Ok(())
}

/// Whether nothing is to be seen of it: Unicode's format characters (category Cf), its line and paragraph separators, and what its property
/// `Default_Ignorable_Code_Point` names besides (fillers, selectors of variants), as of Unicode 16.
fn is_invisible(letter: char) -> bool {
    matches!(u32::from(letter),
        0xAD | 0x34F | 0x600..=0x605 | 0x61C | 0x6DD | 0x70F | 0x890..=0x891 | 0x8E2 | 0x115F..=0x1160 | 0x17B4..=0x17B5
        | 0x180B..=0x180F | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF
        | 0xFFA0 | 0xFFF0..=0xFFFB | 0x110BD | 0x110CD | 0x13430..=0x1343F | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A
        | 0xE0000..=0xE0FFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_shows_every_character_it_has() {
        let long = "茶".repeat(100);
        for good in ["V1", "ORD 1", "é茶", "a\u{a0}b", long.as_str()] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (text, fault) in [
            ("", ReferenceFault::Missing),
            ("V1\u{200b}", ReferenceFault::Invisible(0x200b)),
            ("\u{feff}V1", ReferenceFault::Invisible(0xfeff)),
            ("V\u{ad}1", ReferenceFault::Invisible(0xad)),
            ("V\u{202e}1", ReferenceFault::Invisible(0x202e)),
            ("V1\u{e0041}", ReferenceFault::Invisible(0xe0041)),
            ("V1\u{3164}", ReferenceFault::Invisible(0x3164)),
            ("V1\u{7}", ReferenceFault::Control),
            ("V1 ", ReferenceFault::Blank),
            (&"x".repeat(101), ReferenceFault::TooLong),
        ] {
            assert_eq!(check(text), Err(fault), "{text:?}");
        }
        assert_eq!(
            ReferenceFault::Invisible(0x200b).to_string(),
            "holds an invisible character, U+200B: write it without"
        );
    }
}
