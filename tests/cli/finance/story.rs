//! Books with a little of everything: paid, recovered, in dunning, revoked, canceled now and at the end of a period, an answer
//! lost on the way, two currencies.

use dues::sandbox::{Fault, Rule, Script};

use crate::support::world::{On, World, source_of};

/// Plans beside the usual ones.
const FLAGS: &[(&str, &str)] = &[
    ("plans.singapore.amount_minor", "1905"),
    ("plans.singapore.currency", "SGD"),
    ("plans.singapore.interval", "month"),
    ("plans.singapore.description", "Monthly plan in Singapore"),
];

/// Declines of one wallet with `code`, so often.
fn declines(reference: &str, code: &str, times: u64) -> Rule {
    Rule::decline(reference, code).for_source(&source_of(reference)).times(times)
}

/// Two and a half months of it. It ends on a day on which `DEBT` waits for a dunning step.
pub async fn told(on: On) -> World {
    let mut world = World::new(on, "2026-01-01T00:00:00Z", FLAGS).await;
    world.sandbox.set_script(Script::of([
        declines("BACK", "20051", 2),
        declines("GONE", "200R1", 1),
        declines("DEBT", "20051", 99),
        Rule::fault("lost", Fault::LostResponse).for_source(&source_of("LOST")).times(1),
    ]));
    for reference in ["PAID", "BACK", "GONE", "STOP", "LOST", "LAST"] {
        world.hand_over(reference, "monthly", "2026-01-05", None).await;
    }
    world.hand_over("LION", "singapore", "2026-01-05", None).await;
    world.hand_over("DEBT", "monthly", "2026-03-12", None).await;
    world.run_until("2026-02-10T00:00:00Z").await;
    world.engine.cancel("STOP", false, "moved away", "test").await.unwrap();
    world.engine.cancel("LAST", true, "no longer needed", "test").await.unwrap();
    world.run_until("2026-03-14T00:00:00Z").await;
    world
}
