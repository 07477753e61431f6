//! A value as a shell takes it: what an operator copies out of a message into a command line.

/// `text` as one word of a POSIX shell.
pub fn word(text: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "_-./:@%+,".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// An option with its value; one that begins as an option does is tied to it.
pub fn option(name: &str, value: &str) -> String {
    let tie = if value.starts_with('-') { '=' } else { ' ' };
    format!("{name}{tie}{}", word(value))
}

#[cfg(test)]
mod tests {
    use super::{option, word};

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        for (text, quoted) in [
            ("ORD-1", "ORD-1"),
            ("ORD 1", "'ORD 1'"),
            ("$(a)", "'$(a)'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("~", "'~'"),
        ] {
            assert_eq!(word(text), quoted);
        }
        assert_eq!(option("--reference", "ORD-1"), "--reference ORD-1");
        assert_eq!(option("--reference", "-1 a"), "--reference='-1 a'");
    }
}
