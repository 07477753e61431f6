//! Enums whose variants have one word each, the same in the database, in JSON and on the screen.

/// A text that is none of an enum's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind}; it must be one of {allowed}")]
pub struct NotAWord {
    /// What was read.
    pub text: String,
    /// What it should have been one of.
    pub kind: &'static str,
    /// The words, separated by commas.
    pub allowed: String,
}

/// Declares an enum with one word per variant: `as_str`, `ALL`, `Display`, `FromStr`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident is a $kind:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// Every variant, in the order of its declaration.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::domain::word::NotAWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok($name::$variant),)*
                    _ => Err(crate::domain::word::NotAWord {
                        text: text.to_owned(),
                        kind: $kind,
                        allowed: [$($word),*].join(", "),
                    }),
                }
            }
        }
    };
}
pub(crate) use words;

/// An event that a state does not know: a fault in dues or in its database, never something to guess about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {machine} that is {state} cannot {event}")]
pub struct IllegalEvent {
    /// Which machine.
    pub machine: &'static str,
    /// The state it was in.
    pub state: &'static str,
    /// What happened.
    pub event: String,
}
