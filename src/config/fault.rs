//! Faults of a configuration: each one line that names the place, the key, the value and what is allowed.

use std::fmt;

use super::layers::FLAG;

/// One thing that is wrong, as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A file, the name of a variable, `--set KEY` or `built-in`.
    pub origin: String,
    /// The dotted key; empty where the fault concerns a whole file.
    pub key: String,
    /// The value as written; none where it is missing, or may be a secret.
    pub value: Option<String>,
    /// What is allowed, or what else is wrong.
    pub allowed: String,
}

/// Everything that is wrong with a configuration: never empty, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        Faults(faults)
    }

    /// The faults, in the order of the sections.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin.strip_prefix(FLAG) == Some(&self.key) {
            // As it stands on the command line; a quote of the shell's is none of the value's.
            let written = |value: &String| value.trim_matches('"').to_owned();
            let value = self.value.as_ref().map(|value| format!("={}", written(value))).unwrap_or_default();
            return write!(f, "{}{value}: {}", self.origin, self.allowed);
        }
        write!(f, "{}: ", self.origin)?;
        match (&self.key, &self.value) {
            (key, _) if key.is_empty() => {}
            (key, Some(value)) => write!(f, "{key} = {value}: ")?,
            (key, None) => write!(f, "{key}: ")?,
        }
        f.write_str(&self.allowed)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

/// The known word that a person probably meant: at most two letters away, and fewer than half of the word's.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && distance * 2 < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// The Levenshtein distance: how many letters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_two_letters_finds_its_word() {
        let known = ["lease", "key_life", "hour", "end"];
        for (word, meant) in [
            ("leese", Some("lease")),
            ("keylife", Some("key_life")),
            ("our", Some("hour")),
            ("nd", Some("end")),
            ("release", Some("lease")),
            ("nothing", None),
            ("xnx", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
