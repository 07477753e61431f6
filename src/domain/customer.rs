//! What is told of a customer, and how long it may be: the same from a file, from a command line, and for the gateway.

/// The most characters of a name or an e-mail address.
pub const LONGEST_PERSONAL: usize = 255;

/// Whether the gateway may take it; whether it reaches anybody is not ours to know.
pub fn is_email(text: &str) -> bool {
    let sides: Vec<&str> = text.split('@').collect();
    matches!(sides.as_slice(), [name, host] if !name.is_empty() && !host.is_empty())
        && !text.contains(char::is_whitespace)
}

/// Whether it is two capital letters, as ISO 3166 alpha-2 has them.
pub fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
