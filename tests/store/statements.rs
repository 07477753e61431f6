//! Every statement binds what its text asks for, and every public method of the store is run in this program.

use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// The highest `$n` of a text.
fn placeholders(text: &str) -> usize {
    let number = |rest: &str| -> usize {
        let end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().unwrap_or(0)
    };
    text.split('$').skip(1).map(number).max().unwrap_or(0)
}

/// The sets of a text: words in braces that are no locks.
fn sets(text: &str) -> usize {
    let named = |rest: &&str| rest.split('}').next().is_some_and(|name| !name.is_empty() && !name.contains(' '));
    text.split('{').skip(1).filter(named).count()
}

/// The string literal with which `text` begins, or that the name at its beginning stands for in `file`.
fn literal<'a>(file: &'a str, text: &'a str) -> Option<&'a str> {
    let text = text.trim_start();
    if let Some(rest) = text.strip_prefix('"') {
        return rest.split('"').next();
    }
    let end = text.find(|it: char| !it.is_ascii_alphanumeric() && it != '_')?;
    let name = &text[..end];
    let defined = if name.chars().all(|it| it.is_ascii_uppercase() || it == '_') {
        file.split_once(&format!("const {name}: &str ="))?.1
    } else {
        // The nearest `let` before the statement.
        let before = text.as_ptr() as usize - file.as_ptr() as usize;
        file[..before].rsplit_once(&format!("let {name} ="))?.1
    };
    defined.trim_start().strip_prefix('"')?.split('"').next()
}

#[test]
fn every_statement_binds_what_its_text_asks_for() {
    let mut checked = 0;
    for (path, file) in files("src/store") {
        let file = file.split("#[cfg(test)]").next().unwrap_or_default();
        for (place, _) in file.match_indices("Statement::new(") {
            let rest = &file[place + "Statement::new(".len()..];
            let Some(text) = literal(file, rest) else { continue };
            let inside_literal = rest.trim_start().strip_prefix('"').map_or(0, |it| rest.len() - it.len() + text.len());
            let after = &rest[inside_literal..];
            let chain = after.split("Statement::new(").next().unwrap_or_default().split(';').next().unwrap_or_default();
            let (bound, given) = (chain.matches(".bind(").count(), chain.matches(".rows(").count());
            assert_eq!((bound, given), (placeholders(text), sets(text)), "{}: {text}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} statements were found");
}

#[test]
fn every_method_of_the_store_is_run_here() {
    let tests: String = files("tests/store").into_iter().map(|(_, text)| text).collect();
    for (path, text) in files("src/store") {
        for rest in text.split("pub async fn ").skip(1) {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            let run =
                [format!(".{name}("), format!(".{name}::<"), format!("::{name}(")].iter().any(|it| tests.contains(it));
            assert!(run, "{}: no test runs {name}", path.display());
        }
    }
}
