//! What finance reads: empty of exceptions while the books are sound, a row for every rule that is broken, amounts exact to the
//! last digit, and a dictionary that leaves no column out. Every promise is kept on both databases.

mod amounts;
mod answers;
mod breaches;
mod dictionary;
mod sound;
mod story;
