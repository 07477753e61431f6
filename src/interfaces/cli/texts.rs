//! What the program's texts say of its own command line, held against it: every command that a text names can be typed, and every
//! help fits a screen of 80 columns without a line of its examples being broken.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

use super::whole_command;

/// The width that every help keeps to.
const COLUMNS: usize = 80;
/// What stands for a placeholder: a name or an id, a number, a month, a span, an address, a key, a currency, a report,
/// a command.
const FILLINGS: &[&str] = &["ORD-1", "7", "2026-11", "7d", "127.0.0.1:0", "KEY=VALUE", "HKD", "collected", "status"];
/// Texts that are let be, each in its file.
const LET_BE: &[(&str, &str)] = &[
    // The list of what is not there yet.
    ("README.md", "dues forecast"),
    // What is filled in is the option --reference with its value, as `domain::shell` writes it.
    ("src/engine/decide/asked.rs", "dues subscribe {} --resume"),
    ("src/interfaces/cli/subscribe.rs", "dues subscribe {} --resume"),
];

/// A command line that a text names, and where.
#[derive(Debug)]
struct Named {
    place: String,
    text: String,
}

/// Every file whose texts an operator may read.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    let mut folders = vec![root.join("src"), root.join("docs"), root.join("config"), root.join("systemd")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("cli/texts.rs")
                && path.extension().is_some_and(|it| ["rs", "txt", "md", "toml", "service"].iter().any(|e| it == *e))
            {
                files.push(path);
            }
        }
    }
    files
}

/// A file's text as it is read: comments and literals without the marks and the breaks of their lines.
fn flowing(text: &str) -> String {
    let mut flowing = String::new();
    for line in text.lines() {
        let bare = line.trim_start();
        let bare = ["//!", "///", "//", "#"].iter().find_map(|mark| bare.strip_prefix(mark)).unwrap_or(bare);
        match bare.strip_suffix('\\') {
            Some(goes_on) => flowing.push_str(goes_on),
            None => {
                flowing.push_str(bare.trim());
                flowing.push(' ');
            }
        }
    }
    flowing.replace("\\\"", "\"")
}

/// Every `dues ...` in backquotes.
fn named_in(place: &str, text: &str) -> Vec<Named> {
    let text = flowing(text);
    let starts = text.match_indices("`dues ").map(|(at, _)| at + 1);
    let spans = starts.filter_map(|at| text[at..].find('`').map(|length| &text[at..at + length]));
    spans.map(|span| Named { place: place.to_owned(), text: span.to_owned() }).collect()
}

/// The words of a command line; those in braces or in capitals, and `...`, are placeholders, and none here.
fn words(text: &str) -> Vec<Option<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut is_filled = false;
    for letter in text.chars().chain([' ']) {
        match letter {
            '"' | '\'' if quote.is_none() => quote = Some(letter),
            _ if quote == Some(letter) => quote = None,
            '{' => {
                is_filled = true;
                word.push('X');
            }
            ' ' if quote.is_none() => {
                let is_placeholder = is_filled
                    || matches!(word.as_str(), ".." | "...")
                    || (word.len() > 1 || word == "N")
                        && word.chars().all(|it| it.is_ascii_uppercase() || matches!(it, '-' | '_' | '/' | '.'));
                if !word.is_empty() {
                    words.push((!is_placeholder).then(|| std::mem::take(&mut word)));
                }
                word.clear();
                is_filled = false;
            }
            _ => word.push(letter),
        }
    }
    // What a shell does with the output is not the program's.
    let shell =
        |word: &Option<String>| word.as_deref().is_some_and(|it| matches!(it, ">" | ">>" | "|" | "&&" | ";" | "<"));
    let end = words.iter().position(shell).unwrap_or(words.len());
    words.truncate(end);
    words
}

/// What is wrong with it as a command line; none where it can be typed.
fn fault(text: &str) -> Option<String> {
    let words = words(text);
    let mut command = &whole_command();
    let mut is_name_alone = true;
    for word in words.iter().skip(1) {
        match word.as_deref().and_then(|it| command.find_subcommand(it)) {
            Some(below) => command = below,
            None => is_name_alone = false,
        }
    }
    let tried = FILLINGS.iter().map(|filling| {
        let line = words.iter().map(|word| word.clone().unwrap_or_else(|| (*filling).to_owned()));
        whole_command().try_get_matches_from(line).err()
    });
    let mut errors: Vec<clap::Error> = Vec::new();
    for error in tried {
        match error {
            None => return None,
            Some(error) => errors.push(error),
        }
    }
    // The name of a command is no whole command line, and is not meant as one.
    let is_let_be = |error: &clap::Error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => is_name_alone,
        _ => false,
    };
    if errors.iter().any(is_let_be) {
        return None;
    }
    errors.first().map(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
}

#[test]
fn every_command_that_a_text_names_can_be_typed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = files().into_iter().flat_map(|path| {
        let place = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        named_in(&place, &fs::read_to_string(&path).unwrap())
    });
    let named: Vec<Named> = named.collect();
    assert!(named.len() > 150, "the scanner sees what it looks for: {}", named.len());
    let is_let_be = |it: &&Named| LET_BE.contains(&(it.place.as_str(), it.text.as_str()));
    let faults = named.iter().filter(|it| !is_let_be(it));
    let faults = faults.filter_map(|it| Some(format!("{}: `{}`: {}", it.place, it.text, fault(&it.text)?)));
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_planted_command_that_is_none_is_seen() {
    for planted in [
        "dues subscribe --resume E1",
        "dues subscribtion list",
        "dues charge list --status paid",
        "dues charge list --state late",
        "dues charge retry chg_1",
        "dues review resolve {id} refund --reason \"x\"",
        "dues report collections",
    ] {
        let named = named_in(
            "planted.rs",
            &format!("    \"it says `{}` \\\n        takes it up\"", planted.replace('"', "\\\"")),
        );
        assert_eq!(named.len(), 1, "{planted}");
        assert!(fault(&named[0].text).is_some(), "{planted}");
    }
    for sound in [
        "dues subscribe --reference E1 --resume",
        "dues subscription cancel",
        "dues charge",
        "dues report chase --currency HKD --csv > chase.csv",
        "dues charge retry {charge} --reason \"the plan's price\"",
        "dues verify --gateway --since SPAN",
    ] {
        assert_eq!(fault(sound), None, "{sound}");
    }
}

/// A command and those below it, each with its name.
fn all_of(command: &clap::Command, name: &str) -> Vec<(String, clap::Command)> {
    let mut all = vec![(name.to_owned(), command.clone())];
    for below in command.get_subcommands() {
        all.extend(all_of(below, &format!("{name} {}", below.get_name())));
    }
    all
}

#[test]
fn every_help_fits_and_breaks_no_example() {
    let mut command = whole_command().term_width(COLUMNS);
    command.build();
    for (name, mut command) in all_of(&command, "dues") {
        let help = command.render_long_help().to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= COLUMNS, "{name}: {} columns: {line}", line.chars().count());
        }
        let written = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        // What stands in is an example or a table: it keeps its form.
        for line in written.lines().filter(|line| line.starts_with("  ")) {
            assert!(help.lines().any(|it| it.trim_end() == line.trim_end()), "{name}: this line is broken: {line}");
        }
    }
}

#[test]
fn what_every_command_takes_stands_together_in_its_help() {
    let mut command = whole_command().term_width(COLUMNS);
    command.build();
    for (name, mut command) in all_of(&command, "dues").into_iter().filter(|(name, _)| !name.contains(" help")) {
        let help = command.render_help().to_string();
        let (own, global) = help.split_once("Options of every command:\n").unwrap_or_else(|| panic!("{name}:\n{help}"));
        let own = own.split_once("Options:\n").map_or("", |(_, own)| own);
        for option in ["--config", "--set", "--json", "--csv"] {
            let stands = |text: &str| text.lines().any(|line| line.split_whitespace().next() == Some(option));
            assert!(stands(global) && !stands(own), "{name}: {option} in\n{help}");
        }
    }
}
