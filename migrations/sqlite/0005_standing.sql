-- What a day owes to charges that waited longer than earlier plans are remembered; and charges that were not billed, to be audited after a fence.
-- Twin of the other database's file of the same name.

ALTER TABLE daily_plans ADD COLUMN standing_count INTEGER NOT NULL DEFAULT 0 CHECK (standing_count >= 0); -- charges opened before the day on which this plan was frozen, and not sent by then; none where the plan counts them
ALTER TABLE daily_plans ADD COLUMN standing_minor INTEGER NOT NULL DEFAULT 0 CHECK (standing_minor >= 0); -- their sum

CREATE INDEX charges_not_billed ON charges (due_at) WHERE state IN ('held', 'skipped', 'void');
