//! Arguments that are one word of an enum: the help lists the words, a wrong one is answered with them, and a shell completes them.

use std::error::Error;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// A parser of these words.
pub fn one_of<T>(words: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words.into_iter().map(PossibleValue::new)).try_map(|word| word.parse())
}
