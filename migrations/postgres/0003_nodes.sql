-- Several daemons on one database, the fence against books that were set back in time, the brake, and the audit of each charge.
-- Twin of the other database's file of the same name.

CREATE TABLE nodes (
    name         TEXT PRIMARY KEY, -- installation.node: the daemon's name in leases and journal
    process      TEXT NOT NULL, -- which run of it: a process of another start has taken the name over
    started_at   TIMESTAMPTZ NOT NULL, -- when that process registered
    heartbeat_at TIMESTAMPTZ NOT NULL, -- when it last came round
    stopped_at   TIMESTAMPTZ, -- when it stopped in order; none while it runs, and after a crash
    sends        BIGINT NOT NULL CHECK (sends >= 0), -- how many sends it has committed, ever: its high-water mark
    condition    TEXT -- what keeps it from sending, in its own words; none where nothing does
);

ALTER TABLE installation ADD COLUMN continuity_from TIMESTAMPTZ; -- what fell due before is looked up before its first send
ALTER TABLE installation ADD COLUMN timeline TEXT; -- PostgreSQL's timeline when a daemon last came round: a fail-over changes it
ALTER TABLE installation ADD COLUMN strangers_left BIGINT NOT NULL DEFAULT 0 CHECK (strangers_left >= 0); -- sends that a fail-over lost: so many payments may turn up that the books do not know
ALTER TABLE installation ADD COLUMN held_at TIMESTAMPTZ; -- from when nothing is sent until an operator acknowledges
ALTER TABLE installation ADD COLUMN held_reason TEXT; -- why
ALTER TABLE installation ADD COLUMN acknowledged_until TIMESTAMPTZ; -- an operator has read that the books are older than the gateway: what fell due before may turn up there
ALTER TABLE installation ADD COLUMN braked_at TIMESTAMPTZ; -- from when nothing is collected, because a day's plan was exceeded
ALTER TABLE installation ADD COLUMN braked_reason TEXT; -- by how much

CREATE TABLE fences (
    id                  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of raising
    raised_at           TIMESTAMPTZ NOT NULL, -- when
    node                TEXT NOT NULL, -- by which daemon
    reason              TEXT NOT NULL CHECK (reason IN ('gap', 'future', 'rewound', 'no_file', 'other_ledger', 'timeline', 'asked',
                            'stranger', 'clock')), -- what was seen
    detail              TEXT NOT NULL, -- the figures, in one sentence
    lost_sends          BIGINT NOT NULL CHECK (lost_sends >= 0), -- sends that the books have forgotten
    holds               BIGINT NOT NULL CHECK (holds IN (0, 1)), -- 1: nothing is sent until it is acknowledged
    acknowledged_at     TIMESTAMPTZ, -- when an operator had read it, or the cause was gone
    acknowledged_by     TEXT, -- who
    acknowledged_reason TEXT, -- in whose words
    CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
);
CREATE INDEX fences_open ON fences (id) WHERE holds = 1 AND acknowledged_at IS NULL;

CREATE TABLE daily_plans (
    day           TEXT NOT NULL CHECK (length(day) = 10), -- the day in UTC, YYYY-MM-DD
    currency      TEXT NOT NULL REFERENCES currencies (code), -- in which currency
    frozen_at     TIMESTAMPTZ NOT NULL, -- when the plan was made: the day before, or at the day's first send
    planned_count BIGINT NOT NULL CHECK (planned_count >= 0), -- charges that would be sent for the first time
    planned_minor BIGINT NOT NULL CHECK (planned_minor >= 0), -- their sum
    granted_count BIGINT NOT NULL DEFAULT 0 CHECK (granted_count >= 0), -- charges that an acknowledged act added
    granted_minor BIGINT NOT NULL DEFAULT 0 CHECK (granted_minor >= 0), -- their sum
    sent_count    BIGINT NOT NULL DEFAULT 0 CHECK (sent_count >= 0), -- charges sent for the first time
    sent_minor    BIGINT NOT NULL DEFAULT 0 CHECK (sent_minor >= 0), -- their sum
    PRIMARY KEY (day, currency)
);

ALTER TABLE charges ADD COLUMN audit_at TIMESTAMPTZ; -- when its reference is looked up next, whatever it ended as; none: never again
ALTER TABLE charges ADD COLUMN audits BIGINT NOT NULL DEFAULT 0 CHECK (audits >= 0); -- how often it was
CREATE INDEX charges_to_audit ON charges (audit_at, id) WHERE audit_at IS NOT NULL;
ALTER TABLE attempts ADD COLUMN answer_lost BIGINT NOT NULL DEFAULT 0 CHECK (answer_lost IN (0, 1)); -- 1: it is unknown because an answer was lost, not because its daemon was
CREATE INDEX attempts_not_found ON attempts (id) WHERE state = 'unknown' AND looks > 0 AND answer_lost = 1 AND late_looks = 0;
