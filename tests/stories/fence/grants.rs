//! What a hand-over adds to the plans of days that are frozen already: the plan's part and the margin leave room for it, or somebody has
//! acknowledged it.

use dues::engine::hand_over::{Acceptable, BeyondPlan, HandedOver, Rehearsal, Terms};

use crate::support::world::{BOTH, On, World, handed_over, source_of};

/// Ten daily subscriptions, planned for today and tomorrow: a half as many more and twenty have room.
async fn ten_planned(on: On) -> World {
    let world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
    for number in 1..=10 {
        world.hand_over(&format!("ORD-{number}"), "daily", "2026-01-15", None).await;
    }
    world.engine.take_name(false).await.unwrap();
    world
}

fn set(world: &World, named: &str, count: usize, plan: &str) -> Vec<Acceptable> {
    let acceptable = |number| {
        let reference = format!("{named}-{number}");
        let hand_over = handed_over(&source_of(&reference), &reference, plan, "2026-01-15", None);
        world.engine.acceptable(hand_over).unwrap()
    };
    (0..count).map(acceptable).collect()
}

async fn enter(world: &World, set: &[Acceptable], acknowledged: bool) -> HandedOver {
    world.engine.hand_over_on(set, Terms { acknowledged, another: true }).await.unwrap()
}

/// What a dry run of the same set finds.
async fn rehearsed(world: &World, set: &[Acceptable]) -> BeyondPlan {
    let mut rehearsal = Rehearsal::new(&world.settings, &world.store).await.unwrap();
    rehearsal.judge(set, true, &world.store).await.unwrap();
    rehearsal.beyond_plan(&world.store).await.unwrap()
}

async fn granted(world: &World) -> Vec<String> {
    world.lines("SELECT CAST(planned_count AS TEXT) || ' and ' || CAST(granted_count AS TEXT) AS line FROM daily_plans WHERE currency = 'HKD' ORDER BY day").await
}

#[tokio::test]
async fn what_the_days_plans_have_no_room_for_is_told_and_entered_by_nobody_who_has_not_acknowledged_it() {
    for on in BOTH {
        let world = ten_planned(on).await;
        assert_eq!(granted(&world).await, ["10 and 0", "10 and 0"], "{on:?}");
        let daily = set(&world, "D", 26, "daily");
        let beyond = BeyondPlan { today: 26, tomorrow: 26 };
        assert_eq!(rehearsed(&world, &daily).await, beyond, "{on:?}");
        assert_eq!(enter(&world, &daily, false).await.beyond_plan, beyond, "{on:?}");
        assert_eq!(granted(&world).await, ["10 and 0", "10 and 0"], "{on:?}: nothing was entered");

        let (daily, rest) = daily.split_at(24);
        assert_eq!(rehearsed(&world, daily).await, BeyondPlan::default(), "{on:?}");
        assert_eq!(enter(&world, daily, false).await.entered.len(), 24, "{on:?}");
        assert_eq!(granted(&world).await, ["10 and 24", "10 and 24"], "{on:?}");

        // Of two weekly ones that begin today the plan of today has room for one.
        let weekly = set(&world, "W", 2, "weekly");
        let beyond = BeyondPlan { today: 2, tomorrow: 0 };
        assert_eq!(rehearsed(&world, &weekly).await, beyond, "{on:?}");
        assert_eq!(enter(&world, &weekly, false).await.beyond_plan, beyond, "{on:?}");
        assert_eq!(enter(&world, &weekly[..1], false).await.entered.len(), 1, "{on:?}");
        let both = [&weekly[1..], rest].concat();
        assert_eq!(rehearsed(&world, &both).await, BeyondPlan { today: 3, tomorrow: 2 }, "{on:?}");
        assert_eq!(enter(&world, &both, true).await.entered.len(), 3, "{on:?}: acknowledged");
        assert_eq!(granted(&world).await, ["10 and 28", "10 and 26"], "{on:?}");
    }
}
