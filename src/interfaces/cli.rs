//! The command line: one file a command, each with its arguments and its `run`. Here stands what they share: where the config is
//! found, and what an exit code means.

mod backup;
mod charge;
mod check;
mod completions;
mod customer;
mod demo;
mod doctor;
mod failure;
mod import;
mod journal;
mod ledger;
mod man;
mod migrate;
mod operator;
mod output;
mod plans;
mod report;
mod resume;
mod review;
mod run;
mod sandbox;
mod simulate;
mod spreadsheet;
mod status;
mod stop;
mod subscribe;
mod subscription;
#[cfg(test)]
mod texts;
mod verify;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use futures_util::future::LocalBoxFuture;

use crate::clock::Clock;
use crate::config::{Loaded, Settings, Sources};
use crate::engine::{Rules, open};
use crate::interfaces::kept_files;
use crate::store::Store;

pub use failure::{Kind, NotFound, WrongConfig, WrongUsage, code_of, print, told};

/// The heading of what every command takes.
const GLOBAL: &str = "Options of every command";

/// What prints one table, which --csv can take: commands, one of them with a flag.
const TABLES: &[&str] = &[
    "subscription list",
    "charge list",
    "review list",
    "report",
    "plans",
    "status",
    "verify",
    "ledger show",
    "check --show",
    "demo",
];

/// Exit codes, as `--help` tells them.
pub mod exit {
    /// All was done.
    pub const OK: u8 = 0;
    /// Something failed; the message says what to do.
    pub const FAILED: u8 = 1;
    /// The command line is wrong (clap's own).
    pub const USAGE: u8 = 2;
    /// Part was done: some rows were refused, or a wait ended early.
    pub const PARTLY: u8 = 3;
    /// What was asked for does not exist.
    pub const NOT_FOUND: u8 = 4;
    /// The config is wrong: systemd does not restart (sysexits.h, EX_CONFIG).
    pub const CONFIG: u8 = 78;

    /// Each with its meaning, for the man pages.
    pub const MEANINGS: &[(u8, &str)] = &[
        (OK, "done"),
        (FAILED, "failed"),
        (USAGE, "wrong command line"),
        (PARTLY, "done in part"),
        (NOT_FOUND, "not found"),
        (CONFIG, "wrong config"),
    ];
}

/// Charges subscriptions to AlipayHK wallets through Checkout.com, once per period.
#[derive(Debug, Parser)]
#[command(name = "dues", version, about, max_term_width = 80)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 done in part, 4 not found, 78 wrong config.\n\n\
    With --json a failure prints one line on standard output too:\n  \
    {\"error\": {\"kind\": \"...\", \"message\": \"...\", \"exit_code\": N}}\n\
    Its kind is usage, config, not_found, refused (as things stand it may not be done), database, gateway_refused (it answered no), \
    gateway_away (it did not answer) or failed.\n\n\
    Examples:\n  dues demo                       a year of billing in seconds, simulated\n  \
    dues check --show               is the config right, and whence each value\n  \
    dues import subscriptions.csv   hand over subscriptions begun elsewhere\n  \
    dues run                        the daemon\n  \
    dues report collected           what was collected, month by month"
)]
pub struct Cli {
    /// The config file; drop-in files stand beside it in dues.d/. Without it /etc/dues/dues.toml, where there is one
    #[arg(long, global = true, value_name = "FILE", env = "DUES_CONFIG", help_heading = GLOBAL)]
    config: Option<PathBuf>,
    /// Sets one key over every other source, as in --set engine.batch=200
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, help_heading = GLOBAL)]
    set: Vec<(String, String)>,
    /// Prints JSON instead of tables and sentences
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    /// Prints CSV instead of a table, for spreadsheets: exact amounts, whole cells, the names of --json as headings
    #[arg(long, global = true, help_heading = GLOBAL)]
    csv: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon
    Run(run::Args),
    /// Checks the config: unknown keys, wrong values and contradictions, all at once
    Check(check::Args),
    /// Looks at database, gateway, clock, time zones and systemd: what is wrong, and the next step
    Doctor(doctor::Args),
    /// Shows the plans of the config beside those of the books, and takes up a price that changes far
    Plans(plans::Args),
    /// Brings the database's schema up
    Migrate(migrate::Args),
    /// Hands over subscriptions whose first payment was made elsewhere
    Import(import::Args),
    /// Makes a first payment: prints the link, waits until the customer has approved, saves the source
    Subscribe(subscribe::Args),
    /// Lists, shows, pauses, resumes and cancels subscriptions
    Subscription(subscription::Args),
    /// Shows customers, and takes their personal data out of the books
    Customer(customer::Args),
    /// Lists and shows charges, tries them again and voids them
    Charge(charge::Args),
    /// Lists, shows and resolves what a person must decide
    Review(review::Args),
    /// Tells what the daemons are doing now
    Status(status::Args),
    /// Answers what finance asks: as a table, CSV or JSON
    Report(report::Args),
    /// Checks every rule of the books, and compares them with the gateway
    Verify(verify::Args),
    /// Writes an online copy of the books
    Backup(backup::Args),
    /// Shows whether the books can be the latest, and lifts a hold
    Ledger(ledger::Args),
    /// Lifts the brake that a day's plan put on
    ResumeCollecting(resume::Args),
    /// Runs a stand-in for Checkout.com on loopback
    Sandbox(sandbox::Args),
    /// Bills a year in seconds on SQLite and a sandbox in this process: everything simulated
    Demo(demo::Args),
    /// Plays seeded worlds full of faults, and checks that every period is charged once
    Simulate(simulate::Args),
    /// Writes the man pages into a directory
    Man(man::Args),
    /// Prints the completions of a shell
    Completions(completions::Args),
}

/// How the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Tables and sentences, for people.
    Text,
    /// For programs.
    Json,
    /// One table, for spreadsheets.
    Csv,
}

/// What every command stands on.
#[derive(Debug)]
pub struct Ground {
    /// Where the config is found.
    pub sources: Sources,
    /// How the answer is printed.
    pub format: Format,
}

impl Ground {
    /// Whether JSON is printed.
    pub fn json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether CSV is printed; only ever where the command says that it has a table.
    pub fn csv(&self) -> bool {
        self.format == Format::Csv
    }

    /// The config, or every fault in it.
    ///
    /// # Errors
    /// [`WrongConfig`], which ends in exit code 78.
    pub fn load(&self) -> anyhow::Result<Loaded> {
        kept_files::load(&self.sources).map_err(|faults| WrongConfig(faults.to_string()).into())
    }

    /// The books that the config names, at this program's schema. Who only looks creates nothing, and needs no right to write.
    ///
    /// # Errors
    /// Those of opening and checking; each says what to do.
    pub async fn books(&self) -> anyhow::Result<(Loaded, Store)> {
        let loaded = self.load()?;
        let store = open::books_to_show(&loaded.settings, &Clock::system()).await?;
        store.check_schema().await?;
        Ok((loaded, store))
    }

    /// The same for who writes.
    async fn books_to_write(&self) -> anyhow::Result<(Loaded, Store)> {
        let loaded = self.load()?;
        let store = open::existing_books(&loaded.settings, &Clock::system()).await?;
        store.check_schema().await?;
        Ok((loaded, store))
    }

    /// The books for an act on them: where somebody has begun them, the config must be theirs.
    ///
    /// # Errors
    /// Those of [`Ground::books`]; [`Pinned`](crate::store::StoreError::Pinned).
    pub async fn own_books(&self) -> anyhow::Result<(Loaded, Store)> {
        let (loaded, store) = self.books_to_write().await?;
        if let Some(pinned) = store.installation().await? {
            pinned.admit(&open::pins_of(&loaded.settings))?;
        }
        Ok((loaded, store))
    }

    /// The same with what the engine goes by, for an act that a daemon will carry out: somebody must have begun them.
    pub async fn books_to_act(&self) -> anyhow::Result<(Rules, Store)> {
        let (loaded, store) = self.books_to_write().await?;
        self.begun_by_this_config(&loaded.settings, &store).await?;
        Ok((Rules::read(&loaded.settings, &store).await?, store))
    }

    /// Refuses books that nobody has begun, and those of another config.
    pub async fn begun_by_this_config(&self, settings: &Settings, store: &Store) -> anyhow::Result<()> {
        let pinned =
            store.installation().await?.context("no daemon has begun these books yet; run `dues run` first")?;
        Ok(pinned.admit(&open::pins_of(settings))?)
    }
}

impl Command {
    /// Why --config and --set mean nothing to it, where they do: they must not be passed over in silence.
    fn takes_no_config(&self) -> Option<&'static str> {
        match self {
            Command::Demo(_) => Some("the demo has its own config: --config and --set do not apply to it"),
            Command::Sandbox(_) => Some(
                "the sandbox has no config, only the arguments of `dues sandbox --help`: --config and --set do not apply to it",
            ),
            Command::Simulate(_) => {
                Some("the simulation draws its own config from the seed: --config and --set do not apply to it")
            }
            Command::Run(_)
            | Command::Check(_)
            | Command::Doctor(_)
            | Command::Plans(_)
            | Command::Migrate(_)
            | Command::Import(_)
            | Command::Subscribe(_)
            | Command::Subscription(_)
            | Command::Customer(_)
            | Command::Charge(_)
            | Command::Review(_)
            | Command::Status(_)
            | Command::Report(_)
            | Command::Verify(_)
            | Command::Backup(_)
            | Command::Ledger(_)
            | Command::ResumeCollecting(_) => None,
            Command::Man(_) | Command::Completions(_) => {
                Some("they do not depend on a config: leave --config and --set out")
            }
        }
    }
}

/// The books for a command that enters something. They are there already: a mistyped path would make books that no daemon reads. Their
/// schema is brought up where `database.migrate` says so.
async fn books_to_enter(settings: &Settings, clock: &Clock) -> anyhow::Result<Store> {
    let store = open::existing_books(settings, clock).await?;
    if settings.database.migrate && store.schema_version().await? > 0 {
        store.migrate().await?;
    }
    store.check_schema().await?;
    Ok(store)
}

impl Cli {
    /// Reads the command line; a wrong one, `--help` and `--version` end the process.
    pub fn of_command_line() -> Cli {
        let mut command = whole_command();
        let as_json = std::env::args_os().any(|it| it == "--json");
        let matches = command.try_get_matches_from_mut(std::env::args_os()).unwrap_or_else(|it| leave(&it, as_json));
        let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|it| leave(&it, as_json));
        cli.set = levels(&matches).filter_map(|it| it.get_many("set")).flatten().cloned().collect();
        let config_is_given = matches.value_source("config") == Some(ValueSource::CommandLine);
        if let Some(why) = cli.command.takes_no_config()
            && (config_is_given || !cli.set.is_empty())
        {
            leave(&command.error(ErrorKind::ArgumentConflict, why), as_json);
        }
        if let Some(why) = cli.wrong_format(&matches) {
            leave(&command.error(ErrorKind::ArgumentConflict, why), as_json);
        }
        cli
    }

    /// Whether JSON was asked for.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Why it cannot be printed as was asked. Clap's own conflicts do not see a global argument on the other side of a subcommand.
    fn wrong_format(&self, matches: &ArgMatches) -> Option<String> {
        if self.csv && self.json {
            Some("--csv and --json are two forms of one answer: choose one of them".to_owned())
        } else if self.csv && !has_table(matches) {
            let tables: Vec<String> = TABLES.iter().map(|table| format!("`dues {table}`")).collect();
            let tables = tables.join(", ");
            Some(format!(
                "what this command prints is no table, so there is no --csv: leave it out, or use --json; {tables} have it"
            ))
        } else {
            None
        }
    }

    /// Runs the command. In a box, so that it is compiled here, and not once more in the program.
    ///
    /// # Errors
    /// An error chain for the operator; [`print()`] tells it and gives its exit code.
    pub fn run(self) -> LocalBoxFuture<'static, anyhow::Result<ExitCode>> {
        Box::pin(self.carry_out())
    }

    async fn carry_out(self) -> anyhow::Result<ExitCode> {
        let ground = Ground {
            sources: Sources { file: self.config, environment: Sources::process_environment(), flags: self.set },
            format: match (self.json, self.csv) {
                (true, _) => Format::Json,
                (false, true) => Format::Csv,
                (false, false) => Format::Text,
            },
        };
        match self.command {
            Command::Run(args) => args.run(&ground).await,
            Command::Check(args) => args.run(&ground).await,
            Command::Doctor(args) => args.run(&ground).await,
            Command::Plans(args) => args.run(&ground).await,
            Command::Migrate(args) => args.run(&ground).await,
            Command::Import(args) => args.run(&ground).await,
            Command::Subscribe(args) => args.run(&ground).await,
            Command::Subscription(args) => args.run(&ground).await,
            Command::Customer(args) => args.run(&ground).await,
            Command::Charge(args) => args.run(&ground).await,
            Command::Review(args) => args.run(&ground).await,
            Command::Status(args) => args.run(&ground).await,
            Command::Report(args) => args.run(&ground).await,
            Command::Verify(args) => args.run(&ground).await,
            Command::Backup(args) => args.run(&ground).await,
            Command::Ledger(args) => args.run(&ground).await,
            Command::ResumeCollecting(args) => args.run(&ground).await,
            Command::Sandbox(args) => args.run(&ground).await,
            Command::Demo(args) => args.run(&ground).await,
            Command::Simulate(args) => args.run(&ground).await,
            Command::Man(args) => args.run(),
            Command::Completions(args) => args.run(),
        }
    }
}

/// Ends the process as clap does, and prints a wrong command line as JSON too where that was asked for.
fn leave(error: &clap::Error, as_json: bool) -> ! {
    if as_json && error.use_stderr() {
        let text = error.render().to_string();
        let message = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default().trim();
        // Standard output that fails too leaves the text on standard error.
        drop(output::line(&failure::document(Kind::Usage, message).to_string()));
    }
    error.exit()
}

/// Whether what the command prints is one table.
fn has_table(matches: &ArgMatches) -> bool {
    let names: Vec<&str> = levels(matches).filter_map(ArgMatches::subcommand_name).collect();
    let name = names.join(" ");
    let innermost = levels(matches).last();
    let is_given = |flag| innermost.is_some_and(|it| matches!(it.try_get_one::<bool>(flag), Ok(Some(true))));
    TABLES.iter().any(|table| match table.split_once(" --") {
        Some((command, flag)) => command == name && is_given(flag),
        None => *table == name,
    })
}

/// The command line as it is read: what the man pages and the completions tell of.
fn whole_command() -> clap::Command {
    everywhere(Cli::command(), "set")
}

/// The command with one of its arguments taken by every subcommand too. Clap's own global arguments would not do for one that adds
/// up: what stands after the subcommand replaces what stands before it.
fn everywhere(command: clap::Command, name: &str) -> clap::Command {
    let argument = command.get_arguments().find(|it| it.get_id() == name).cloned();
    match argument {
        Some(argument) => command.mut_subcommands(|it| everywhere(it.arg(argument.clone()), name)),
        None => command,
    }
}

/// The arguments of the command, then those of its subcommand, and so on.
fn levels(matches: &ArgMatches) -> impl Iterator<Item = &ArgMatches> {
    std::iter::successors(Some(matches), |it| it.subcommand().map(|(_, inner)| inner))
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it has the form KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Cli, CommandFactory, exit};

    #[test]
    fn the_help_and_the_man_pages_tell_the_same_exit_codes() {
        let told: Vec<String> = exit::MEANINGS.iter().map(|(code, meaning)| format!("{code} {meaning}")).collect();
        let help = Cli::command().get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.starts_with(&format!("Exit codes: {}.", told.join(", "))), "{help}");
    }
}
