//! The laws themselves: each takes source files as text and gives its breaches, `file:line: what and why`.
//! They read words, not syntax, which is enough for a house that wants to be kept.

/// A source file: its path from the project's root, and its text.
pub struct Source {
    pub path: String,
    pub text: String,
}

/// What a layer may import. A target is a layer, or a layer and the only items of it.
const LAYERS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("chance", &[]),
    ("domain", &["clock::Instant", "clock::instant_from_micros"]),
    ("config", &["clock", "chance", "domain"]),
    ("store", &["clock", "chance", "domain", "config"]),
    ("gateway", &["clock", "chance", "domain", "config"]),
    ("engine", &["clock", "chance", "domain", "config", "store", "gateway"]),
    ("sandbox", &["clock", "chance", "domain", "gateway::transport"]),
    ("simulation", &["clock", "chance", "domain", "config", "store", "gateway", "engine", "sandbox"]),
    ("interfaces", &["clock", "chance", "domain", "config", "store", "gateway", "engine", "sandbox", "simulation"]),
];

/// Crates that are let in at one place only: the crate, the places, the reason.
const CRATES: &[(&str, &[&str], &str)] = &[
    ("sqlx", &["src/store"], "SQL lives in the store"),
    ("reqwest", &["src/gateway"], "the gateway is the only HTTP client"),
    ("tokio_cron_scheduler", &["src/engine/schedule"], "what wakes the ticks can be replaced in one file"),
    ("clap", &["src/interfaces"], "the command line is a door"),
    ("anyhow", &["src/interfaces", "src/main"], "below the doors every error has a type"),
    ("jiff", &["src/domain/calendar"], "local time becomes an instant in one place"),
];

const NAMELESS: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "type", "types", "model", "models", "misc", "shared"];
const MOST_LINES: usize = 500;

/// Imports look only down.
pub fn imports_look_down(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources {
        let layer = layer_of(&source.path);
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            // lib.rs and main.rs stand above the layers.
            continue;
        };
        for (line, path) in crate_paths(source) {
            let macro_home = sources.iter().find(|other| other.text.contains(&format!("macro_rules! {} ", path[0])));
            let target = match macro_home {
                Some(home) if !LAYERS.iter().any(|(name, _)| *name == path[0]) => layer_of(&home.path),
                _ => &path[0],
            };
            let item = path.get(1).map(|item| format!("{target}::{item}")).unwrap_or_default();
            if target != layer && !allowed.contains(&target) && !allowed.contains(&item.as_str()) {
                let written = path.join("::");
                let may = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
                breaches.push(format!("{}:{line}: {layer} imports crate::{written}; it may import {may}", source.path));
            }
        }
    }
    breaches
}

/// Each crate at its place.
pub fn crates_stay_at_their_place(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources {
        for (name, places, reason) in CRATES {
            let allowed = places.iter().any(|place| {
                let rest = source.path.strip_prefix(place);
                rest.is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
            });
            for (line, code) in code_lines(&source.text).filter(|(_, code)| !allowed && names_crate(code, name)) {
                let places = places.join(" and ");
                breaches.push(format!("{}:{line}: {name} only in {places}: {reason} ({})", source.path, code.trim()));
            }
        }
    }
    breaches
}

/// A module that is named for nothing collects everything.
pub fn names_say_something(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources {
        let reason = "if a thing has no home, its idea is not yet clear";
        for part in source.path.trim_end_matches(".rs").split('/').filter(|part| NAMELESS.contains(part)) {
            breaches.push(format!("{}:1: no file or directory is called {part}: {reason}", source.path));
        }
        for (line, code) in code_lines(&source.text) {
            let mut words = code.split(|character: char| !is_word(character)).filter(|word| !word.is_empty());
            let named = words.by_ref().find(|word| *word == "mod").and_then(|_| words.next());
            if let Some(name) = named.filter(|name| NAMELESS.contains(name)) {
                breaches.push(format!("{}:{line}: no module is called {name}: {reason}", source.path));
            }
        }
    }
    breaches
}

/// The first line says what the file is.
pub fn files_open_with_their_idea(sources: &[Source]) -> Vec<String> {
    let opens = |source: &&Source| source.text.starts_with("//! ");
    let breach = |source: &Source| format!("{}:1: a file opens with a `//!` line that says what it is", source.path);
    sources.iter().filter(|source| !opens(source)).map(breach).collect()
}

/// One idea a file fits in few lines.
pub fn files_stay_short(sources: &[Source]) -> Vec<String> {
    let lines = |source: &Source| source.text.lines().count();
    let breach =
        |source: &Source| format!("{}:{}: over {MOST_LINES} lines: more than one idea", source.path, lines(source));
    sources.iter().filter(|source| lines(source) > MOST_LINES).map(breach).collect()
}

/// Every migration exists for both databases.
pub fn migrations_are_twins(sqlite: &[String], postgres: &[String]) -> Vec<String> {
    let missing = |from: &[String], there: &[String], place: &str| -> Vec<String> {
        let alone = there.iter().filter(|name| !from.contains(name));
        alone.map(|name| format!("migrations/{place}/{name}:1: missing; both databases share one history")).collect()
    };
    [missing(sqlite, postgres, "sqlite"), missing(postgres, sqlite, "postgres")].concat()
}

/// `src/store/db.rs` and `src/store.rs` are of the layer `store`.
fn layer_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split(['/', '.']).next().unwrap_or(inside)
}

/// The lines without their comments, numbered from 1. What follows `//` in a text literal is lost, which hides no import.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap_or(line)))
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether a line says `name::` or `use name`; a word in a message, or a module of ours called so, is not the crate.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        // `::sqlx` is the crate, `store::sqlx` a module of ours.
        let path = before.strip_suffix("::").unwrap_or(before);
        let begins = !path.ends_with(|character: char| is_word(character) || character == '"');
        let used = before.trim_end().ends_with("use") && !after.starts_with(is_word);
        begins && (after.starts_with("::") || used)
    })
}

/// Every path that begins with `crate::`, or leads up to the crate by `super::`, with its line; groups are unfolded.
fn crate_paths(source: &Source) -> Vec<(usize, Vec<String>)> {
    let code: String = code_lines(&source.text).flat_map(|(_, code)| [code, "\n"]).collect();
    let module_depth = source.path.trim_start_matches("src/").split('/').count();
    let mut found = Vec::new();
    let roots = ["crate::".to_owned(), "super::".repeat(module_depth)];
    for (root, by_super) in roots.iter().zip([false, true]) {
        for (at, _) in code.match_indices(root.as_str()).filter(|(at, _)| !code[..*at].ends_with([':', '$'])) {
            let line = code[..at].matches('\n').count() + 1;
            let mut paths = Vec::new();
            unfold(&code[at + root.len()..], &[], &mut paths);
            // In an inner module as many `super::` end below the crate: only the name of a layer tells.
            paths.retain(|path| !by_super || LAYERS.iter().any(|(name, _)| path.len() > 1 && *name == path[0]));
            found.extend(paths.into_iter().map(|path| (line, path)));
        }
    }
    found
}

/// Reads `a::b`, or `a::{b, c::d}`, from the start of `text` and returns what follows it.
fn unfold<'t>(text: &'t str, prefix: &[String], paths: &mut Vec<Vec<String>>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = unfold(rest, prefix, paths).trim_start();
            match rest.strip_prefix(',') {
                Some(next) if !next.trim_start().starts_with('}') => rest = next,
                Some(next) => return next.trim_start().strip_prefix('}').unwrap_or(next),
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text.find(|character: char| !is_word(character)).unwrap_or(text.len());
    let (word, mut rest) = text.split_at(end);
    let path: Vec<String> = prefix.iter().cloned().chain([word.to_owned()]).collect();
    if let Some(deeper) = rest.strip_prefix("::").filter(|deeper| deeper.starts_with(|c: char| is_word(c) || c == '{'))
    {
        return unfold(deeper, &path, paths);
    }
    if let Some((_, other)) =
        rest.strip_prefix(" as ").map(|alias| alias.split_at(alias.find([',', '}', ';']).unwrap_or(0)))
    {
        rest = other;
    }
    paths.push(path);
    rest
}

/// Whether the text that a planted fault replaces stands exactly once in its file, as tests/mutants/run wants it.
pub fn fault_fits(fault: &str, text_of: impl Fn(&str) -> String) -> Result<(), String> {
    let file = fault.lines().find_map(|line| line.strip_prefix("file: ")).ok_or("it names no file")?;
    let before = fault.split_once("--- before\n").and_then(|(_, rest)| rest.split_once("\n--- after\n"));
    let (before, _) = before.ok_or("it has no text before and after")?;
    match text_of(file).matches(before).count() {
        1 => Ok(()),
        times => Err(format!("its text stands {times} times in {file}")),
    }
}
