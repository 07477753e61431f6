//! One section of the merged tree, read key by key with strict types. Every fault is noted and a stand-in returned, so that
//! one reading finds all faults; a stand-in is never used, because settings with faults are not handed out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use config::{Map, Value, ValueKind};

use super::duration::{parse_duration, show};
use super::effective::looks_like_a_key;
use super::fault::{Fault, nearest};
use super::layers::{self, BUILT_IN};

/// The faults found so far, shared by all sections.
pub(super) struct Noted {
    faults: RefCell<Vec<Fault>>,
    is_whole: bool,
}

impl Noted {
    /// Begins with the faults of the sources that could not be read.
    pub fn new(unread: Vec<Fault>) -> Self {
        Noted { is_whole: unread.is_empty(), faults: RefCell::new(unread) }
    }

    /// Whether every source could be read. Where one could not, what is missing and what disagrees may be right by it, and is no fault.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether this key is at fault.
    pub fn has(&self, key: &str) -> bool {
        self.faults.borrow().iter().any(|fault| fault.key == key)
    }

    /// All of them.
    pub fn into_inner(self) -> Vec<Fault> {
        self.faults.into_inner()
    }

    fn push(&self, fault: Fault) {
        // A default is wrong only where nothing else was set.
        if self.is_whole || !fault.origin.starts_with(BUILT_IN) {
            self.faults.borrow_mut().push(fault);
        }
    }
}

/// A key that is looked for in the wrong place often enough to have an answer of its own.
const SECRET_KEY: &str = "secret_key";

/// A table of the tree, and which of its keys were asked for.
pub(super) struct Section<'a> {
    path: String,
    table: Option<&'a Map<String, Value>>,
    asked: BTreeSet<&'static str>,
    noted: &'a Noted,
}

impl<'a> Section<'a> {
    /// The whole tree.
    pub fn root(table: &'a Map<String, Value>, noted: &'a Noted) -> Self {
        Section { path: String::new(), table: Some(table), asked: BTreeSet::new(), noted }
    }

    /// A section inside this one. What is no table is a fault, and then all of its keys are passed over.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        self.asked.insert(key);
        self.inner(key)
    }

    /// The names in a section whose names the operator chose, in order.
    pub fn names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = self.table.iter().flat_map(|table| table.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names
    }

    /// The section of a name that the operator chose.
    pub fn inner(&self, name: &str) -> Section<'a> {
        let value = self.table.and_then(|table| table.get(name));
        let table = value.and_then(|value| match &value.kind {
            ValueKind::Table(table) => Some(table),
            _ => {
                self.note(name, Some(value), "must be a section with keys of its own");
                None
            }
        });
        Section { path: self.dotted(name), table, asked: BTreeSet::new(), noted: self.noted }
    }

    /// Ends the reading: a key that was not asked for is unknown.
    pub fn finish(self) {
        for name in self.names().into_iter().filter(|name| !self.asked.contains(name)) {
            let origin = origin(self.table.and_then(|table| table.get(name)));
            let allowed = match nearest(name, self.asked.iter().copied()) {
                _ if name == SECRET_KEY => {
                    "the key never stands in a config; write it into a file of its own and name that in \
                     gateway.secret_key_file; replace the key where others could read it here"
                        .to_owned()
                }
                Some(meant) => {
                    format!("is not a known key; did you mean {}?", layers::respelt(&self.dotted(meant), &origin))
                }
                None => "is not a known key".to_owned(),
            };
            // The value of an unknown key may be a secret in the wrong place.
            self.noted.push(Fault { origin, key: self.dotted(name), value: None, allowed });
        }
    }

    /// Notes that a value of this section is wrong in a way that its type does not show.
    pub fn refuse(&self, key: &str, allowed: &str) {
        self.note(key, self.table.and_then(|table| table.get(key)), allowed);
    }

    /// Notes that a value of this section is wrong beside another key, which a source that could not be read may set otherwise.
    pub fn refuse_beside(&self, key: &str, allowed: &str) {
        if self.noted.is_whole() {
            self.refuse(key, allowed);
        }
    }

    /// Makes a key known that is read only where it stands.
    pub fn knows(&mut self, key: &'static str) {
        self.asked.insert(key);
    }

    /// Whether the key stands anywhere.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The text of a key, where it stands and is one.
    pub fn written(&self, key: &str) -> Option<&'a str> {
        self.table?.get(key).and_then(text)
    }

    /// Reads one value by a function that returns none where the value is not allowed.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        stand_in: T,
        allowed: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> T {
        self.asked.insert(key);
        self.read_named(key, stand_in, allowed, parse)
    }

    /// The same under a name that the operator chose.
    pub fn read_named<T>(&self, key: &str, stand_in: T, allowed: &str, parse: impl FnOnce(&Value) -> Option<T>) -> T {
        let Some(table) = self.table else { return stand_in };
        let value = table.get(key);
        if let Some(read) = value.and_then(parse) {
            return read;
        }
        self.note(key, value, &format!("must be {allowed}"));
        stand_in
    }

    /// A text that a rule accepts.
    pub fn text(&mut self, key: &'static str, allowed: &str, rule: impl Fn(&str) -> bool) -> String {
        self.read(key, String::new(), allowed, |value| text(value).filter(|text| rule(text)).map(str::to_owned))
    }

    /// A text that is parsed into something else.
    pub fn parsed<T: FromStr>(&mut self, key: &'static str, allowed: &str) -> Option<T> {
        self.read(key, None, allowed, |value| text(value)?.parse().ok().map(Some))
    }

    /// `true` or `false`, without quotes in a file.
    pub fn boolean(&mut self, key: &'static str) -> bool {
        self.read(key, false, "true or false", |value| match &value.kind {
            ValueKind::Boolean(truth) => Some(*truth),
            ValueKind::String(text) if is_text_origin(value) => text.parse().ok(),
            _ => None,
        })
    }

    /// A whole number in a range.
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> i64 {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(key, *range.end(), &allowed, |value| integer(value).filter(|number| range.contains(number)))
    }

    /// A whole number from 1 to `most`.
    pub fn count(&mut self, key: &'static str, most: u32) -> NonZeroU32 {
        let number = self.integer(key, 1..=i64::from(most));
        u32::try_from(number).ok().and_then(NonZeroU32::new).expect("the range lies within 1 and u32::MAX")
    }

    /// A duration between two, which are written as the operator would.
    pub fn duration(&mut self, key: &'static str, least: &str, most: &str) -> Duration {
        let (allowed, range) = duration_range(least, most);
        self.read(key, *range.start(), &allowed, |value| parse_duration(text(value)?).filter(|d| range.contains(d)))
    }

    /// A list of durations between two.
    pub fn durations(&mut self, key: &'static str, least: &str, most: &str) -> Vec<Duration> {
        let (allowed, range) = duration_range(least, most);
        self.list(key, &format!("a list, each {allowed}"), |text| parse_duration(text).filter(|d| range.contains(d)))
    }

    /// A list of texts, each parsed.
    pub fn list<T>(&mut self, key: &'static str, allowed: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let wrong: Vec<String> = self
            .table
            .and_then(|table| table.get(key))
            .into_iter()
            .flat_map(items)
            .filter(|item| parse(item).is_none() && !looks_like_a_key(item))
            .map(|item| format!("{item:?}"))
            .collect();
        let allowed = match &wrong[..] {
            [] => allowed.to_owned(),
            [one] => format!("{allowed}; {one} is none of them"),
            several => format!("{allowed}; {} are none of them", several.join(", ")),
        };
        self.read(key, Vec::new(), &allowed, |value| match &value.kind {
            ValueKind::Array(items) => items.iter().map(|item| parse(text(item)?)).collect(),
            ValueKind::String(text) if is_text_origin(value) && text.trim().is_empty() => Some(Vec::new()),
            ValueKind::String(text) if is_text_origin(value) => {
                text.split(',').map(|part| parse(part.trim())).collect()
            }
            _ => None,
        })
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> T {
        self.read(key, words[0].1, &choices(words), |value| choose(value, words))
    }

    fn note(&self, key: &str, value: Option<&Value>, allowed: &str) {
        let key_path = self.dotted(key);
        let (origin, shown, allowed) = match value {
            Some(value) => (origin(Some(value)), shown(&key_path, value), allowed.to_owned()),
            None if !self.noted.is_whole() => return,
            None => (self.origin(), None, format!("is missing; it {allowed}")),
        };
        self.noted.push(Fault { origin, key: key_path, value: shown, allowed });
    }

    /// Where the section stands: the first origin among its keys.
    fn origin(&self) -> String {
        let first = self.names().first().and_then(|name| self.table.and_then(|table| table.get(*name)));
        origin(first)
    }

    fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// One of a few words, as the fault lists them.
pub(super) fn choices<T>(words: &[(&str, T)]) -> String {
    let quoted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    format!("one of {}", quoted.join(", "))
}

/// The meaning of a word.
pub(super) fn choose<T: Copy>(value: &Value, words: &[(&str, T)]) -> Option<T> {
    let text = text(value)?;
    words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning)
}

/// The text of a value that is one.
pub(super) fn text(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

/// The texts of a list of several; where there is one alone, the value shows it.
fn items(value: &Value) -> Vec<&str> {
    let items: Vec<&str> = match &value.kind {
        ValueKind::Array(items) => items.iter().filter_map(text).collect(),
        ValueKind::String(text) if is_text_origin(value) => text.split(',').map(str::trim).collect(),
        _ => Vec::new(),
    };
    if items.len() > 1 { items } else { Vec::new() }
}

/// The whole number of a value that is one; the environment and flags have only texts.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match &value.kind {
        ValueKind::I64(number) => Some(*number),
        ValueKind::String(text) if is_text_origin(value) => text.parse().ok(),
        _ => None,
    }
}

/// Where a value, or the first value inside it, stands.
pub(super) fn origin(value: Option<&Value>) -> String {
    match value.map(|value| (&value.kind, value.origin())) {
        // A merged table keeps the origin of its first layer, or none: its values know better.
        Some((ValueKind::Table(table), own)) => match table.keys().min() {
            Some(first) => origin(table.get(first)),
            None => own.unwrap_or(BUILT_IN).to_owned(),
        },
        Some((_, Some(own))) => own.to_owned(),
        _ => BUILT_IN.to_owned(),
    }
}

/// How a value is shown in a fault; none where it may be a secret.
fn shown(key: &str, value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::Table(_) => None,
        _ if key == "database.url" => None,
        // A user and a password do not belong there, which is why they may stand there in a fault.
        ValueKind::String(url) if key == "gateway.url" && url.contains('@') => None,
        _ => super::effective::written(value),
    }
}

fn is_text_origin(value: &Value) -> bool {
    value.origin().is_some_and(layers::is_text)
}

fn duration_range(least: &str, most: &str) -> (String, RangeInclusive<Duration>) {
    let bound = |text| parse_duration(text).expect("the bounds in this program are durations");
    let range = bound(least)..=bound(most);
    (format!("a duration from {} to {}, such as \"45s\" or \"2h\"", show(*range.start()), show(*range.end())), range)
}
