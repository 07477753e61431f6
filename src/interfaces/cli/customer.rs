//! `dues customer`: shows what the books have of a customer, without personal data, and takes that data out of them.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::operator::{Act, confirmed};
use super::output::{self, Page, Table, minute, time};
use super::{Ground, NotFound, WrongUsage, exit};
use crate::engine::erase::{EraseError, erase};
use crate::store::db::Purged;

/// Arguments of `dues customer`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows one customer: their subscriptions, and whether the books hold personal data of theirs
    #[command(after_help = "Name and e-mail address are not shown.\n\n\
        Examples:\n  dues customer show CUST-7\n  dues customer show CUST-7 --json")]
    Show(ShowArgs),
    /// Takes a customer's name and e-mail address out of the books, for good
    #[command(
        after_help = "Every version of the customer is emptied. Ids, references, amounts and the journal stay, and the books agree with the \
        gateway as before. Subscriptions go on: what is charged from then on is sent without name and e-mail address. To end \
        them, use `dues subscription cancel` first.\n\n\
        A request that was made before keeps the data until it can no longer be sent, because a request that is sent again must \
        be the same to the byte. While one waits to be sent, is on its way, or has an unknown outcome and a key that lives \
        (protocol.key_life), nothing is erased, and the command says which charge it is and until when. The same while a first payment is \
        sent again because the answer that named its wallet was lost.\n\n\
        What it cannot reach: backups made before, the logs of a database that keeps them, the files that were imported and their rejects, \
        and what the gateway stores. An import that names the customer again with data enters it anew. Where somebody reads the books for \
        long, the bytes in the database's files stay until they have ended: it says so, with exit code 3, and is to be run again.\n\n\
        It may be run while the daemon runs, and needs no secret key.\n\n\
        Examples:\n  dues customer erase CUST-7 --reason \"asked by the customer on 3 May\"\n  \
        dues customer erase CUST-7 --reason \"ticket 481\" --yes"
    )]
    Erase(EraseArgs),
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The merchant's own reference of the customer
    reference: String,
}

#[derive(Debug, clap::Args)]
struct EraseArgs {
    /// The merchant's own reference of the customer
    reference: String,
    #[command(flatten)]
    act: Act,
    /// Does not ask; needed where there is no terminal to ask on
    #[arg(long)]
    yes: bool,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Show(args) => args.run(ground).await,
            Command::Erase(args) => args.run(ground).await,
        }
    }
}

impl ShowArgs {
    async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let (_, store) = ground.books().await?;
        let Some(customer) = store.customer_shown(&self.reference).await? else {
            return Err(not_found(&self.reference).into());
        };
        let subscriptions = store.subscriptions_of_customer(&self.reference).await?;
        if ground.json() {
            output::json(&json!({
                "reference": customer.reference,
                "country": customer.country,
                "versions": customer.versions,
                "versions_with_personal_data": customer.with_data,
                "created_at": customer.created_at,
                "subscriptions": subscriptions.iter().map(|it| json!({
                    "id": it.public_id,
                    "reference": it.reference,
                    "state": it.state,
                    "plan": it.plan,
                    "created_at": it.created_at,
                    "ended_at": it.ended_at,
                })).collect::<Vec<_>>(),
            }))?;
            return Ok(ExitCode::from(exit::OK));
        }
        let table = Table::new(&["REFERENCE", "STATE", "PLAN", "ENTERED (UTC)", "ENDED (UTC)", "ID"]).rows(
            subscriptions.into_iter().map(|it| {
                [it.reference, it.state, it.plan, minute(Some(it.created_at)), minute(it.ended_at), it.public_id]
            }),
        );
        let personal = match customer.with_data {
            0 => "none".to_owned(),
            versions => format!("in {versions} of {} versions; not shown", customer.versions),
        };
        let page = Page::default()
            .field("reference", customer.reference)
            .field("country", customer.country)
            .field("personal data", personal)
            .field("first seen", time(customer.created_at))
            .section("Subscriptions", table);
        page.print()?;
        Ok(ExitCode::from(exit::OK))
    }
}

impl EraseArgs {
    async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let operator = self.act.operator()?;
        let (loaded, store) = ground.own_books().await?;
        let reference = &self.reference;
        if store.customer_shown(reference).await?.is_none() {
            return Err(not_found(reference).into());
        }
        if !self.yes {
            match confirmed(&format!("Erase the name and e-mail address of {reference} for good?"))? {
                Some(true) => {}
                Some(false) => {
                    output::remark("nothing was erased");
                    return Ok(ExitCode::from(exit::FAILED));
                }
                None => {
                    return Err(WrongUsage("there is no terminal to confirm on: say --yes; nothing was erased").into());
                }
            }
        }
        let key_life = loaded.settings.protocol.key_life;
        let emptied = match erase(&store, key_life, reference, &self.act.reason, &operator).await {
            Ok(emptied) => emptied,
            Err(EraseError::NotFound(name)) => return Err(not_found(&name).into()),
            Err(error) => return Err(error.into()),
        };
        // The data is out of the tables; here it leaves the bytes beside them.
        let purged = store.purge().await?;
        let code = if purged == Purged::Done { exit::OK } else { exit::PARTLY };
        if ground.json() {
            output::json(
                &json!({ "customer": reference, "versions_erased": emptied, "purged": purged == Purged::Done }),
            )?;
        } else {
            output::line(&match emptied {
                0 => format!("the books hold no personal data of {reference}; nothing was changed"),
                1 => format!("name and e-mail address of {reference} are erased, in 1 version; ids and amounts stay"),
                _ => format!(
                    "name and e-mail address of {reference} are erased, in {emptied} versions; ids and amounts stay"
                ),
            })?;
            output::line(&format!(
                "Who else may still hold them: backups made before{}, the files that were imported and what was rejected of them, and the \
                 gateway. An import with data enters them anew.",
                if store.kind() == "postgres" { ", the server's log of writes (pg_wal) and its archive" } else { "" }
            ))?;
        }
        if let Some(left) = left(&purged, store.kind()) {
            output::remark(&left);
        }
        Ok(ExitCode::from(code))
    }
}

/// What is left to do where the data may still stand in the bytes beside the tables.
fn left(purged: &Purged, database: &str) -> Option<String> {
    match (purged, database) {
        (Purged::Done, _) => None,
        (Purged::BeingRead, "sqlite") => {
            Some("a reader is open: the file still holds them; run this again when it has closed".to_owned())
        }
        (Purged::BeingRead, _) => Some(
            "a transaction that began before is open (pg_stat_activity, pg_prepared_xacts, pg_replication_slots): the table's file still holds \
             them; run this again when it has ended"
                .to_owned(),
        ),
        (Purged::OwnedBy(owner), _) => Some(format!(
            "the table's file still holds them, for this login may not clean it up: have {owner}, who owns the table, run VACUUM customers"
        )),
    }
}

fn not_found(reference: &str) -> NotFound {
    NotFound(EraseError::NotFound(reference.to_owned()).to_string())
}
