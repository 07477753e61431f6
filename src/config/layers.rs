//! Where settings come from: the compiled-in defaults, a preset, the file, its drop-in files, the environment, flags. Here they become
//! one tree of values that remember their origin; nothing is understood yet.

use std::path::{Path, PathBuf};

use config::{Map, Source, Value, ValueKind};

use super::fault::Fault;

const DEFAULTS: &str = include_str!("../../config/default.toml");
const LIVE: &str = include_str!("../../config/live.toml");
const SANDBOX: &str = include_str!("../../config/sandbox.toml");

/// Read where no other file is named, if it exists.
pub(super) const STANDARD_FILE: &str = "/etc/dues/dues.toml";

/// How a variable begins that sets a key. Its whole name is the origin of what it sets.
const VARIABLE: &str = "DUES__";
/// What stands before a key on the command line. With the key it is the origin of what it sets.
pub(super) const FLAG: &str = "--set ";
/// The origin of the defaults.
pub(super) const BUILT_IN: &str = "built-in";

/// What a configuration is read from. The environment is handed in, so that a test can say what stands there.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that was asked for, which must exist. None: `/etc/dues/dues.toml`, if it exists. The directory `dues.d` beside it
    /// holds the drop-in files.
    pub file: Option<PathBuf>,
    /// Environment variables; those that begin with `DUES__` set keys: `DUES__PROTOCOL__LEASE`.
    pub environment: Vec<(String, String)>,
    /// Dotted keys and their values, from the command line.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The built-in defaults and `flags` alone: no file of the machine is read.
    pub fn of_flags(flags: Vec<(String, String)>) -> Self {
        Sources { file: Some(PathBuf::from("/dev/null")), environment: Vec::new(), flags }
    }

    /// The directory of the drop-in files.
    pub fn drop_in_dir(&self) -> PathBuf {
        self.path().with_file_name("dues.d")
    }

    /// The file that is read first, be it there or not.
    pub fn main_file(&self) -> &Path {
        self.path()
    }

    /// The variables of this process. What is no UTF-8 is kept with its wrong letters replaced, so that it is refused where it matters.
    pub fn process_environment() -> Vec<(String, String)> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
    }

    fn path(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(STANDARD_FILE))
    }
}

/// One place's values.
#[derive(Debug, Clone, Default)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// What the sources come to.
pub(super) struct Merged {
    /// Each source over the ones before.
    pub tree: Map<String, Value>,
    /// The sources that could not be read, and are left out.
    pub unread: Vec<Fault>,
    /// The first of the files that were asked for, or found.
    pub first_file: Option<String>,
}

/// Reads all sources and merges them.
pub(super) fn merge(sources: &Sources) -> Merged {
    let mut unread = Vec::new();
    let path = sources.path();
    let mut files = Vec::new();
    if sources.file.is_some() || path.exists() {
        files.push(path.to_owned());
    }
    files.extend(drop_ins(&sources.drop_in_dir(), &mut unread));
    let first_file = files.first().map(|path| path.display().to_string());
    let mut given: Vec<Layer> = files.iter().map(|path| file(path, &mut unread)).collect();
    given.push(environment(&sources.environment, &mut unread));
    let flags = sources.flags.iter();
    given.push(texts(
        flags.map(|(key, value)| (format!("{FLAG}{key}"), key.split('.').map(str::to_owned).collect(), value)),
        &mut unread,
    ));

    let mut builder = config::Config::builder().add_source(built_in(DEFAULTS, BUILT_IN)).add_source(preset(&given));
    for layer in given {
        builder = builder.add_source(layer);
    }
    let merged = builder.build().expect("a layer in memory can always be collected");
    let tree = match merged.cache.kind {
        ValueKind::Table(table) => table,
        _ => Map::new(),
    };
    Merged { tree, unread, first_file }
}

/// Whether a value of this origin is a text for want of another way to write it.
pub(super) fn is_text(origin: &str) -> bool {
    origin.starts_with(VARIABLE) || origin.starts_with(FLAG)
}

/// A key as it would be written at a place where another was: as a variable, a flag, or dotted as in a file. What follows the misspelt
/// part of a variable or a flag is kept.
pub(super) fn respelt(key: &str, origin: &str) -> String {
    let depth = key.split('.').count();
    if let Some(path) = origin.strip_prefix(VARIABLE) {
        let parts = key.split('.').chain(path.split("__").skip(depth));
        return format!("{VARIABLE}{}", parts.map(str::to_uppercase).collect::<Vec<_>>().join("__"));
    }
    if let Some(path) = origin.strip_prefix(FLAG) {
        let parts = key.split('.').chain(path.split('.').skip(depth));
        return format!("{FLAG}{}", parts.collect::<Vec<_>>().join("."));
    }
    key.to_owned()
}

/// The preset of the environment that the given layers end up with. A word that is no environment is reported later.
fn preset(given: &[Layer]) -> Layer {
    let environment = given.iter().rev().find_map(|layer| match &layer.0.get("installation")?.kind {
        ValueKind::Table(installation) => installation.get("environment"),
        _ => None,
    });
    match environment.map(|value| &value.kind) {
        Some(ValueKind::String(text)) if text == "live" => built_in(LIVE, "built-in preset live"),
        _ => built_in(SANDBOX, "built-in preset sandbox"),
    }
}

fn built_in(text: &str, origin: &str) -> Layer {
    Layer(tree(text, origin).expect("the compiled-in files are valid TOML, which the tests check"))
}

fn file(path: &Path, faults: &mut Vec<Fault>) -> Layer {
    let origin = path.display().to_string();
    let read = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"));
    match read.and_then(|text| tree(&text, &origin)) {
        Ok(tree) => Layer(tree),
        Err(allowed) => {
            faults.push(Fault { origin, key: String::new(), value: None, allowed });
            Layer::default()
        }
    }
}

/// The drop-in files in the order of their names. That there are none is usual.
fn drop_ins(directory: &Path, faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
    match listed {
        Ok(mut paths) => {
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
            paths.sort();
            paths
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let allowed = format!("cannot be read: {error}");
            faults.push(Fault { origin: directory.display().to_string(), key: String::new(), value: None, allowed });
            Vec::new()
        }
    }
}

/// Names are lowered, as all keys are in small letters; only response codes are in capitals.
fn environment(variables: &[(String, String)], unread: &mut Vec<Fault>) -> Layer {
    for (name, _) in variables {
        // A variable of two words, such as DUES_CONFIG, is none of these; a section and a key are.
        let meant = name.strip_prefix("DUES_").filter(|rest| !rest.starts_with('_') && rest.contains("__"));
        if let Some(rest) = meant {
            let allowed = format!("sets nothing; did you mean {VARIABLE}{rest}?");
            unread.push(Fault { origin: name.clone(), key: String::new(), value: None, allowed });
        }
    }
    let set = variables.iter().filter_map(|(name, value)| {
        let mut path: Vec<String> =
            name.strip_prefix(VARIABLE)?.to_lowercase().split("__").map(str::to_owned).collect();
        if path[0] == "declines" {
            path[1..].iter_mut().for_each(|code| code.make_ascii_uppercase());
        }
        Some((name.clone(), path, value))
    });
    texts(set, unread)
}

/// A layer of texts by origin and path; of two for one key the later wins. What gives a section a value of its own, where another sets a key in
/// it, is a fault.
fn texts<'a>(pairs: impl Iterator<Item = (String, Vec<String>, &'a String)>, unread: &mut Vec<Fault>) -> Layer {
    let mut root = Map::new();
    let mut of_a_section = |value_of: String, key: String, sets: &str| {
        let allowed = format!("{key} is a section with keys of its own, of which {sets} sets one");
        unread.push(Fault { origin: value_of, key: String::new(), value: None, allowed });
    };
    for (origin, path, text) in pairs {
        let mut table = &mut root;
        let (last, sections) = path.split_last().expect("splitting a text gives at least one part");
        for (depth, section) in sections.iter().enumerate() {
            let entry =
                table.entry(section.clone()).or_insert_with(|| Value::new(Some(&origin), Map::<String, Value>::new()));
            if !matches!(entry.kind, ValueKind::Table(_)) {
                of_a_section(entry.origin().unwrap_or_default().to_owned(), path[..=depth].join("."), &origin);
                *entry = Value::new(Some(&origin), Map::<String, Value>::new());
            }
            table = match &mut entry.kind {
                ValueKind::Table(table) => table,
                _ => unreachable!("the entry was just made a table"),
            };
        }
        match table.get(last) {
            Some(section) if matches!(section.kind, ValueKind::Table(_)) => {
                of_a_section(origin.clone(), path.join("."), section.origin().unwrap_or_default());
            }
            _ => {
                table.insert(last.clone(), Value::new(Some(&origin), text.clone()));
            }
        }
    }
    Layer(root)
}

/// Parses TOML. The message of an error names line and column and shows no source line, which may hold a password.
fn tree(text: &str, origin: &str) -> Result<Map<String, Value>, String> {
    let table = text.parse::<toml::Table>().map_err(|error| {
        let message = error.message().trim().replace('\n', ", ");
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("line {line}, column {column}: not valid TOML: {message}")
    })?;
    let origin = origin.to_owned();
    Ok(table.into_iter().map(|(key, value)| (key, with_origin(value, &origin))).collect())
}

fn with_origin(value: toml::Value, origin: &String) -> Value {
    let kind: ValueKind = match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        // No key holds a date, so it is kept as what no key takes.
        toml::Value::Datetime(_) => ValueKind::Nil,
        toml::Value::Array(items) => {
            ValueKind::Array(items.into_iter().map(|item| with_origin(item, origin)).collect())
        }
        toml::Value::Table(table) => {
            ValueKind::Table(table.into_iter().map(|(key, value)| (key, with_origin(value, origin))).collect())
        }
    };
    Value::new(Some(origin), kind)
}
