//! PostgreSQL's own programs: `pg_dump` writes the archive, `pg_restore` reads all of it back. Both hear of the database by their environment,
//! so that no password stands in a command line.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;

use crate::store::backup::{Libpq, RowsKept};

/// Where Debian keeps the programs of each version, a directory a version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// pg_dump gives up waiting for a lock after so long: a migration must not be held up by it.
const LOCK_WAIT: &str = "--lock-wait-timeout=30s";
/// Of what a program says on standard error, so many bytes are read.
const SAID_BYTES: u64 = 64 * 1024;

/// `pg_dump` and `pg_restore` of one version.
#[derive(Debug)]
pub(super) struct Programs {
    directory: Option<PathBuf>,
}

impl Programs {
    /// Those on the PATH, else the newest that Debian's packages have installed; of at least the server's version, because an older pg_dump
    /// refuses a newer server.
    pub async fn for_server(version: i64) -> anyhow::Result<Programs> {
        let mut seen = Vec::new();
        let installed = installed().into_iter().map(Some);
        for directory in [None].into_iter().chain(installed) {
            let programs = Programs { directory };
            match programs.version().await {
                Some(found) if found >= version => return Ok(programs),
                Some(found) => seen.push(found),
                None => {}
            }
        }
        match seen.into_iter().max() {
            None => bail!(
                "pg_dump is not installed here: install PostgreSQL's client programs of version {version} or newer \
                 (Debian: apt-get install postgresql-client), or run this where they are"
            ),
            Some(found) => bail!(
                "the newest pg_dump here is of version {found}, and the server is of version {version}: install \
                 postgresql-client-{version} or newer"
            ),
        }
    }

    /// Writes the database into `to` in pg_dump's custom format, as it is at one instant.
    pub async fn dump(&self, libpq: &Libpq, to: &Path) -> anyhow::Result<()> {
        let mut command = self.command("pg_dump");
        command.args(["--format=custom", "--no-password", LOCK_WAIT, "--file"]).arg(to);
        command.env("PGAPPNAME", "dues backup").env_remove("PGSERVICE").env_remove("PGHOSTADDR");
        command.envs(libpq.variables.iter().map(|(name, value)| (name, value)));
        if let Some(password) = &libpq.password {
            command.env("PGPASSWORD", password.expose_secret());
        }
        let mut child = command.stdout(Stdio::null()).spawn().context("pg_dump could not be started")?;
        let said = all(child.stderr.take()).await;
        let status = child.wait().await.context("pg_dump was lost")?;
        if !status.success() {
            bail!("pg_dump failed ({status}): {}", one_line(&said));
        }
        Ok(())
    }

    /// Reads a whole archive back, and counts what a restore would bring: the schema's number, and rows.
    pub async fn read_back(&self, archive: &Path) -> anyhow::Result<(i64, RowsKept)> {
        let mut command = self.command("pg_restore");
        command.args(["--data-only", "--file=-"]).arg(archive).stdout(Stdio::piped());
        let mut child = command.spawn().context("pg_restore could not be started")?;
        let out = child.stdout.take().context("pg_restore has no standard output")?;
        let (counted, said) = tokio::join!(count(BufReader::new(out)), all(child.stderr.take()));
        let status = child.wait().await.context("pg_restore was lost")?;
        if !status.success() {
            bail!("the archive cannot be read back ({status}): {}", one_line(&said));
        }
        counted.context("the archive could not be read back")
    }

    async fn version(&self) -> Option<i64> {
        let output = self.command("pg_dump").arg("--version").output().await.ok()?;
        // "pg_dump (PostgreSQL) 15.18 (Debian …)", and "17beta1" before a release.
        let text = String::from_utf8(output.stdout).ok()?;
        let number = text.split_whitespace().nth(2)?;
        let digits = number.find(|it: char| !it.is_ascii_digit()).unwrap_or(number.len());
        number[..digits].parse().ok()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.directory.as_ref().map_or(program.into(), |it| it.join(program)));
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// The directories of Debian's versions, the newest first.
fn installed() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> =
        entries.filter_map(|it| Some((it.file_name().to_str()?.parse().ok()?, it.path().join("bin")))).collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, programs)| programs).collect()
}

/// Counts the rows between `COPY table (columns) FROM stdin;` and `\.`.
async fn count(mut script: impl AsyncBufReadExt + Unpin) -> std::io::Result<(i64, RowsKept)> {
    let mut rows = RowsKept { customers: 0, subscriptions: 0, charges: 0, attempts: 0, payments: 0, journal: 0 };
    let (mut schema, mut others, mut table) = (0, 0, None);
    let mut line = Vec::new();
    loop {
        line.clear();
        if script.read_until(b'\n', &mut line).await? == 0 {
            return Ok((schema, rows));
        }
        let text = String::from_utf8_lossy(&line);
        let Some(name) = table.as_deref() else {
            table = copied(&text).map(str::to_owned);
            continue;
        };
        if text.trim_end() == "\\." {
            table = None;
            continue;
        }
        match name {
            // Its first column is the number of the migration.
            "_sqlx_migrations" => {
                let number = text.split('\t').next().and_then(|it| it.parse().ok());
                schema = schema.max(number.unwrap_or_default());
            }
            name => {
                *match name {
                    "customers" => &mut rows.customers,
                    "subscriptions" => &mut rows.subscriptions,
                    "charges" => &mut rows.charges,
                    "attempts" => &mut rows.attempts,
                    "payments" => &mut rows.payments,
                    "journal" => &mut rows.journal,
                    _ => &mut others,
                } += 1;
            }
        }
    }
}

/// The table of a line that begins its rows.
fn copied(line: &str) -> Option<&str> {
    let (name, rest) = line.strip_prefix("COPY ")?.split_once(" (")?;
    rest.trim_end().ends_with("FROM stdin;").then(|| name.rsplit('.').next().unwrap_or(name))
}

/// The first of what a program says. What comes after it is read too, or the program would wait for a reader.
async fn all(said: Option<impl AsyncRead + Unpin>) -> String {
    let mut text = Vec::new();
    if let Some(mut said) = said {
        // A program whose words are lost is judged by its exit code.
        let _read = (&mut said).take(SAID_BYTES).read_to_end(&mut text).await;
        let _rest = tokio::io::copy(&mut said, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn one_line(said: &str) -> String {
    said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_are_counted_by_table() {
        let script = "SET x;\nCOPY public._sqlx_migrations (version, description) FROM stdin;\n1\tbooks\n12\tmore\n\\.\n\n\
             COPY public.charges (id, reason) FROM stdin;\n1\tCOPY customers (id) FROM stdin;\n2\t\\N\n\\.\n\
             COPY public.currencies (code) FROM stdin;\nHKD\n\\.\nCOPY public.journal (id) FROM stdin;\n\\.\n";
        let (schema, rows) = count(script.as_bytes()).await.unwrap();
        assert_eq!((schema, rows.charges, rows.customers, rows.journal), (12, 2, 0, 0));
    }
}
