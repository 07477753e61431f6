//! `dues man`: a man page a command, made of its help, with its examples and the exit codes under headings of their own.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{exit, output, whole_command};

/// What parts the notes of a help text from its examples.
const EXAMPLES: &str = "Examples:\n";

/// It stands where a page has its date: the same program writes the same page on any day.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Arguments of `dues man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  dues man /usr/local/share/man/man1")]
pub struct Args {
    /// Where the pages are written; it is made where it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Args {
    /// Runs it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let place = self.directory.display();
        fs::create_dir_all(&self.directory).with_context(|| format!("the directory {place} could not be made"))?;
        let mut command = whole_command();
        command.build();
        let mut pages = Vec::new();
        gather(&command, "dues", &mut pages)?;
        for (name, page) in &pages {
            let path = self.directory.join(format!("{name}.1"));
            fs::write(&path, page).with_context(|| format!("{} could not be written", path.display()))?;
        }
        output::line(&format!("{} pages in {place}", pages.len()))?;
        Ok(ExitCode::from(exit::OK))
    }
}

/// The page of a command, and those of the commands below it.
fn gather(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    pages.push((name.to_owned(), page(command, name)?));
    for below in command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
        gather(below, &format!("{name}-{}", below.get_name()), pages)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let after_help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    // Clap would put both under one heading, and break the lines of the examples.
    let (notes, examples) = match after_help.split_once(EXAMPLES) {
        Some((notes, rest)) => rest
            .split_once("\n\n")
            .map_or((notes.to_owned(), rest), |(examples, more)| (format!("{notes}{more}"), examples)),
        None => (after_help.clone(), ""),
    };
    let man = Man::new(command.clone()).title(name).section("1").manual("User Commands").source("dues").date(VERSION);
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    if command.get_arguments().any(|it| !it.is_hide_set()) {
        man.render_options_section(&mut out)?;
    }
    if command.get_subcommands().any(|it| !it.is_hide_set()) {
        man.render_subcommands_section(&mut out)?;
    }
    if !notes.trim().is_empty() {
        text_section(&mut out, "NOTES", &notes)?;
    }
    if !examples.is_empty() {
        text_section(&mut out, "EXAMPLES", examples)?;
    }
    exit_status(&mut out)?;
    Ok(out)
}

/// Paragraphs under a heading; lines that stand in by two spaces keep their form.
fn text_section(out: &mut dyn Write, heading: &str, text: &str) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    let mut keeps_form = false;
    for (index, paragraph) in text.split("\n\n").filter(|it| !it.trim().is_empty()).enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        for line in paragraph.lines().filter(|line| !line.trim().is_empty()) {
            let stands_in = line.strip_prefix("  ");
            if stands_in.is_some() != keeps_form {
                keeps_form = !keeps_form;
                roff.control(if keeps_form { "nf" } else { "fi" }, []);
            }
            roff.text([roman(stands_in.unwrap_or(line))]);
        }
    }
    if keeps_form {
        roff.control("fi", []);
    }
    roff.to_writer(out)
}

fn exit_status(out: &mut dyn Write) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in exit::MEANINGS {
        roff.control("TP", []).text([roman(code.to_string())]).text([roman(*meaning)]);
    }
    roff.to_writer(out)
}
