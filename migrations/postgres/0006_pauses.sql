-- When subscriptions stood still: which of their periods are skipped for it.
-- Twin of the other database's file of the same name.

CREATE TABLE pauses (
    subscription_id BIGINT NOT NULL REFERENCES subscriptions (id), -- whose
    from_index      BIGINT NOT NULL, -- the first period that is skipped
    to_index        BIGINT CHECK (to_index >= from_index), -- the first period that is billed again; none while it lasts
    paused_at       TIMESTAMPTZ NOT NULL, -- when an operator paused it
    resumed_at      TIMESTAMPTZ CHECK ((to_index IS NULL) = (resumed_at IS NULL)), -- when an operator resumed it
    PRIMARY KEY (subscription_id, paused_at)
);
CREATE UNIQUE INDEX pauses_one_open ON pauses (subscription_id) WHERE to_index IS NULL;
