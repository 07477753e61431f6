-- What a day owes to charges that waited longer than earlier plans are remembered.
-- Twin of the other database's file of the same name.

ALTER TABLE daily_plans ADD COLUMN standing_count INTEGER NOT NULL DEFAULT 0 CHECK (standing_count >= 0); -- charges opened before the day on which this plan was frozen, and not sent by then; none where the plan counts them
ALTER TABLE daily_plans ADD COLUMN standing_minor INTEGER NOT NULL DEFAULT 0 CHECK (standing_minor >= 0); -- their sum
