-- When subscriptions stood still: which of their periods are skipped for it.
-- Twin of the other database's file of the same name.

CREATE TABLE pauses (
    subscription_id INTEGER NOT NULL REFERENCES subscriptions (id), -- whose
    from_index      INTEGER NOT NULL, -- the first period that is skipped
    to_index        INTEGER CHECK (to_index >= from_index), -- the first period that is billed again; none while it lasts
    paused_at       TEXT NOT NULL, -- when an operator paused it
    resumed_at      TEXT CHECK ((to_index IS NULL) = (resumed_at IS NULL)), -- when an operator resumed it
    PRIMARY KEY (subscription_id, paused_at)
) STRICT;
CREATE UNIQUE INDEX pauses_one_open ON pauses (subscription_id) WHERE to_index IS NULL;
