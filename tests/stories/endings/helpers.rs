//! What the stories of a subscription's life ask of the world beyond what every story asks.

use dues::sandbox::{Rule, Script};
use dues::store::db::Statement;

use crate::support::world::{World, source_of};

/// Nothing at all, where lines are expected.
pub const NOTHING: [&str; 0] = [];

/// The sandbox declines `reference` with `code`, `times` times.
pub fn decline(world: &World, reference: &str, code: &str, times: u64) {
    let rule = Rule::decline("told to decline", code).for_source(&source_of(reference)).times(times);
    world.sandbox.set_script(Script::of([rule]));
}

/// Lines of which each ends in a time of the books, cut to the minute and written alike on both databases.
pub async fn timed(world: &World, query: &'static str) -> Vec<String> {
    let lines = world.lines(query).await;
    let cut = |line: &String| {
        let (words, time) = line.split_once('|').unwrap_or(("", line));
        format!("{words} {}", time.replace('T', " ").get(..16).unwrap_or(time)).trim().to_owned()
    };
    lines.iter().map(cut).collect()
}

/// When each attempt was sent first, as `reference/period/n time`; those never sent are left out.
pub async fn sent(world: &World) -> Vec<String> {
    timed(
        world,
        "SELECT s.reference || '/' || CAST(c.period_index AS TEXT) || '/' || CAST(a.n AS TEXT) || '|' || \
         CAST(a.first_sent_at AS TEXT) AS line FROM attempts a JOIN charges c ON c.id = a.charge_id \
         JOIN subscriptions s ON s.id = c.subscription_id WHERE a.first_sent_at IS NOT NULL \
         ORDER BY s.reference, c.period_index, a.n",
    )
    .await
}

/// Charges as `reference/period state reason`, in order; the reason is `-` where there is none.
pub async fn reasons(world: &World) -> Vec<String> {
    world
        .lines(
            "SELECT s.reference || '/' || CAST(c.period_index AS TEXT) || ' ' || c.state || ' ' || COALESCE(c.reason, '-') \
             AS line FROM charges c JOIN subscriptions s ON s.id = c.subscription_id ORDER BY s.reference, c.period_index",
        )
        .await
}

/// Dunning cases as `reference/period state steps`, in order.
pub async fn cases(world: &World) -> Vec<String> {
    world
        .lines(
            "SELECT s.reference || '/' || CAST(c.period_index AS TEXT) || ' ' || d.state || ' ' || CAST(d.steps AS TEXT) AS line \
             FROM dunning_cases d JOIN charges c ON c.id = d.charge_id JOIN subscriptions s ON s.id = c.subscription_id \
             ORDER BY s.reference, c.period_index",
        )
        .await
}

/// Writes past the program: what a restore, another version or another hand would leave in the books.
pub async fn tamper(world: &World, text: &'static str) {
    let mut tx = world.store.begin("tamper").await.unwrap();
    tx.run(Statement::new(text)).await.unwrap();
    tx.commit().await.unwrap();
}
