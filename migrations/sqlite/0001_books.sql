-- The books of dues. Twin of the other database's file of the same name: equal tables and columns, and the same rules.
-- Amounts are whole minor units. Times are UTC. States are words; the CHECKs repeat the machines of src/domain.

CREATE TABLE installation (
    id             INTEGER PRIMARY KEY CHECK (id = 1), -- there is one installation in a database
    ledger_id      TEXT NOT NULL, -- whose books these are: part of every reference and key
    environment    TEXT NOT NULL CHECK (environment IN ('sandbox', 'live')), -- pinned at the first start
    gateway_host   TEXT NOT NULL, -- pinned at the first start
    channel        TEXT NOT NULL, -- the processing channel, pinned at the first start; empty where the key implies it
    started_at     TEXT NOT NULL, -- when these books were begun
    heartbeat_at   TEXT NOT NULL  -- when a daemon last came round
) STRICT;

CREATE TABLE currencies (
    code     TEXT PRIMARY KEY CHECK (length(code) = 3), -- ISO 4217
    exponent INTEGER NOT NULL CHECK (exponent BETWEEN 0 AND 4) -- decimal digits of the minor unit
) STRICT;

CREATE TABLE plans (
    id             INTEGER PRIMARY KEY, -- one row a version
    name           TEXT NOT NULL, -- the name in the config files
    version        INTEGER NOT NULL CHECK (version > 0), -- counts up when the definition changes
    amount_minor   INTEGER NOT NULL CHECK (amount_minor BETWEEN 1 AND 999999999), -- price of one period
    currency       TEXT NOT NULL REFERENCES currencies (code), -- currency of the price
    interval_unit  TEXT NOT NULL CHECK (interval_unit IN ('day', 'week', 'month', 'year')), -- unit of the interval
    interval_count INTEGER NOT NULL CHECK (interval_count > 0), -- units in one period
    billing_hour   INTEGER NOT NULL CHECK (billing_hour BETWEEN 0 AND 23), -- local hour at which a period begins
    description    TEXT NOT NULL, -- what the customer reads
    dunning        TEXT NOT NULL, -- name of the dunning policy
    catch_up       TEXT CHECK (catch_up IN ('bill_all', 'bill_latest', 'skip', 'hold')), -- own rule for missed periods, or none
    created_at     TEXT NOT NULL, -- when this version was first seen
    UNIQUE (name, version)
) STRICT;

CREATE TABLE dunning_policies (
    id         INTEGER PRIMARY KEY, -- one row a version
    name       TEXT NOT NULL, -- the name in the config files
    version    INTEGER NOT NULL CHECK (version > 0), -- counts up when the definition changes
    definition TEXT NOT NULL, -- the policy as JSON: an open case keeps the version it began with
    created_at TEXT NOT NULL, -- when this version was first seen
    UNIQUE (name, version)
) STRICT;

CREATE TABLE customers (
    id         INTEGER PRIMARY KEY, -- one row a version, because a resent request must be the same to the byte
    reference  TEXT NOT NULL, -- the merchant's own reference of the customer
    version    INTEGER NOT NULL CHECK (version > 0), -- counts up when the data change
    name       TEXT, -- personal data: stands in this table only
    email      TEXT, -- personal data: stands in this table only
    country    TEXT NOT NULL CHECK (length(country) = 2), -- ISO 3166 alpha-2
    created_at TEXT NOT NULL, -- when this version was first seen
    UNIQUE (reference, version)
) STRICT;

CREATE TABLE sources (
    id                INTEGER PRIMARY KEY, -- inside
    gateway_source_id TEXT NOT NULL UNIQUE, -- src_..., what the gateway charges
    state             TEXT NOT NULL CHECK (state IN ('provisional', 'active', 'revoked', 'failed')), -- the machine of sources
    created_at        TEXT NOT NULL, -- when it was first seen
    revoked_at        TEXT CHECK ((state = 'revoked') = (revoked_at IS NOT NULL)) -- when a decline said that the authorisation is gone
) STRICT;

CREATE TABLE subscriptions (
    id               INTEGER PRIMARY KEY, -- inside
    public_id        TEXT NOT NULL UNIQUE, -- sub_..., shown
    reference        TEXT NOT NULL UNIQUE, -- the merchant's own reference: part of every payment reference
    customer_id      INTEGER NOT NULL REFERENCES customers (id), -- who pays, in the version known last
    source_id        INTEGER REFERENCES sources (id), -- what is charged; none before the first payment was answered
    state            TEXT NOT NULL CHECK (state IN ('incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due',
                         'unpaid', 'paused', 'canceled', 'completed')), -- the machine of subscriptions
    handed_over_at   TEXT NOT NULL, -- periods that began earlier obey the catch-up rule for handed-over ones
    next_index       INTEGER NOT NULL, -- the first period that has no row in charges
    next_charge_at   TEXT NOT NULL, -- when that period begins
    bill_at          TEXT NOT NULL, -- when bill looks at this subscription next
    cancel_at_index  INTEGER, -- canceled when this period would begin
    ended_at         TEXT CHECK ((state IN ('canceled', 'completed')) = (ended_at IS NOT NULL)), -- when it was canceled or completed
    cancel_reason    TEXT, -- why it was canceled, in the operator's words
    first_payment_id TEXT, -- pay_... of the first payment where it was made elsewhere: evidence
    created_at       TEXT NOT NULL, -- when it was handed over or begun
    CHECK (state IN ('incomplete', 'incomplete_expired', 'canceled') OR source_id IS NOT NULL)
) STRICT;
CREATE INDEX subscriptions_to_bill ON subscriptions (bill_at, id)
    WHERE state IN ('trialing', 'active', 'past_due', 'unpaid', 'paused');
CREATE INDEX subscriptions_of_source ON subscriptions (source_id);

CREATE TABLE segments (
    subscription_id INTEGER NOT NULL REFERENCES subscriptions (id), -- whose schedule
    first_index     INTEGER NOT NULL, -- the first period that this segment dates
    plan_id         INTEGER NOT NULL REFERENCES plans (id), -- price and interval of its periods
    anchor_on       TEXT NOT NULL CHECK (length(anchor_on) = 10), -- local date of its first period, YYYY-MM-DD
    zone            TEXT NOT NULL, -- IANA time zone
    hour            INTEGER NOT NULL CHECK (hour BETWEEN 0 AND 23), -- local hour at which a period begins
    interval_unit   TEXT NOT NULL CHECK (interval_unit IN ('day', 'week', 'month', 'year')), -- unit of the interval
    interval_count  INTEGER NOT NULL CHECK (interval_count > 0), -- units in one period
    PRIMARY KEY (subscription_id, first_index)
) STRICT;

CREATE TABLE charges (
    id              INTEGER PRIMARY KEY, -- inside
    public_id       TEXT NOT NULL UNIQUE, -- chg_..., shown
    subscription_id INTEGER NOT NULL REFERENCES subscriptions (id), -- who owes
    period_index    INTEGER NOT NULL, -- number of the billing period; negative for a first payment that pays none
    period_start_at TEXT NOT NULL, -- the period's first instant
    period_end_at   TEXT NOT NULL CHECK (period_end_at >= period_start_at), -- the first instant after it
    plan_id         INTEGER NOT NULL REFERENCES plans (id), -- the plan version that gave the price
    reference       TEXT NOT NULL UNIQUE CHECK (length(reference) <= 50), -- stands on every payment of this period at the gateway
    amount_minor    INTEGER NOT NULL CHECK (amount_minor BETWEEN 1 AND 999999999), -- frozen when the charge was opened
    currency        TEXT NOT NULL REFERENCES currencies (code), -- frozen when the charge was opened
    state           TEXT NOT NULL CHECK (state IN ('due', 'collecting', 'paid', 'retrying', 'uncollectible', 'void', 'held',
                        'skipped', 'in_review')), -- the machine of charges
    reason          TEXT, -- why it is skipped, held, void, uncollectible or in review
    due_at          TEXT NOT NULL, -- from when it was owed: the start of the period
    opened_at       TEXT NOT NULL, -- when the row was made
    paid_at         TEXT, -- when we learned that the money was taken
    paid_by         TEXT, -- pay_... of the payment that counts
    CHECK ((state = 'paid') = (paid_at IS NOT NULL)),
    CHECK ((paid_at IS NULL) = (paid_by IS NULL)),
    CHECK (state NOT IN ('skipped', 'held') OR reason IS NOT NULL),
    UNIQUE (subscription_id, period_index) -- a period is charged once
) STRICT;
CREATE INDEX charges_open ON charges (state, due_at)
    WHERE state IN ('due', 'collecting', 'retrying', 'held', 'in_review');

CREATE TABLE attempts (
    id              INTEGER PRIMARY KEY, -- inside
    charge_id       INTEGER NOT NULL REFERENCES charges (id), -- what it tries to collect
    n               INTEGER NOT NULL CHECK (n > 0), -- its number among the attempts of the charge
    idempotency_key TEXT NOT NULL UNIQUE, -- one per attempt, computed from the reference and n
    kind            TEXT NOT NULL CHECK (kind IN ('first', 'recurring')), -- whether the customer approves it or the merchant starts it
    state           TEXT NOT NULL CHECK (state IN ('created', 'sending', 'pending', 'unknown', 'captured', 'declined', 'canceled',
                        'expired', 'rejected', 'absent', 'superseded', 'withdrawn')), -- the machine of attempts
    customer_id     INTEGER NOT NULL REFERENCES customers (id), -- whose name and e-mail complete the body
    payment_id      TEXT, -- pay_... of the payment it waits for or ended with
    next_at         TEXT, -- when it is sent or looked at next: every live attempt has one
    lease_owner     TEXT, -- the daemon that works on it
    lease_until     TEXT NOT NULL, -- until when it does
    lease_epoch     INTEGER NOT NULL, -- counts up with every lease: an older holder can no longer write
    sends           INTEGER NOT NULL CHECK (sends >= 0), -- how often it may have been sent
    looks           INTEGER NOT NULL CHECK (looks >= 0), -- looks since it entered its state
    first_sent_at   TEXT, -- from when its key may live at the gateway
    last_sent_at    TEXT, -- when it may have been sent last
    unknown_since   TEXT, -- from when its outcome was unknown
    late_looks      INTEGER NOT NULL CHECK (late_looks >= 0), -- look-ups since its key is over
    server_error    INTEGER NOT NULL CHECK (server_error IN (0, 1)), -- 1: a 5xx hid the outcome, so absence takes longer to believe
    missing_since   TEXT, -- from when the gateway says that it does not know the payment
    created_at      TEXT NOT NULL, -- when the intent was committed
    settled_at      TEXT, -- when its outcome was known
    UNIQUE (charge_id, n),
    CHECK ((state IN ('created', 'sending', 'unknown', 'pending')) = (next_at IS NOT NULL)),
    CHECK ((state IN ('created', 'sending', 'unknown', 'pending')) = (settled_at IS NULL)),
    CHECK (state NOT IN ('sending', 'unknown') OR (sends > 0 AND first_sent_at IS NOT NULL AND last_sent_at IS NOT NULL)),
    CHECK (state <> 'created' OR first_sent_at IS NULL),
    CHECK (state NOT IN ('pending', 'captured') OR payment_id IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX attempts_one_live ON attempts (charge_id) WHERE state IN ('created', 'sending', 'unknown', 'pending');
CREATE INDEX attempts_to_send ON attempts (next_at, id) WHERE state = 'created';
CREATE INDEX attempts_to_look_at ON attempts (next_at, id) WHERE state IN ('sending', 'unknown', 'pending');

-- The requests stand apart from the attempts, because an attempt is written several times and its request once.
CREATE TABLE requests (
    charge_id   INTEGER NOT NULL REFERENCES charges (id), -- of which charge
    n           INTEGER NOT NULL CHECK (n > 0), -- of which of its attempts
    body        TEXT NOT NULL, -- the request without personal data, frozen when the attempt was created
    body_digest TEXT NOT NULL, -- SHA-256 of the whole body: what is sent again is the same to the byte
    PRIMARY KEY (charge_id, n)
) STRICT;

CREATE TABLE payments (
    id                 INTEGER PRIMARY KEY, -- inside
    gateway_payment_id TEXT NOT NULL UNIQUE, -- pay_...: every payment ever seen, doubles and strangers included
    attempt_id         INTEGER REFERENCES attempts (id), -- the attempt it answers; none for a stranger
    charge_id          INTEGER REFERENCES charges (id), -- the period whose reference it carries; none for a stranger
    kind               TEXT NOT NULL CHECK (kind IN ('first', 'recurring', 'one_time', 'foreign')), -- what it was made for
    reference          TEXT, -- the reference it carries at the gateway
    status             TEXT NOT NULL, -- the gateway's own word
    amount_minor       INTEGER, -- the gateway's figure
    currency           TEXT, -- the gateway's figure
    captured_minor     INTEGER NOT NULL CHECK (captured_minor >= 0), -- what was taken
    refunded_minor     INTEGER NOT NULL CHECK (refunded_minor >= 0), -- what was given back
    response_code      TEXT, -- why it was declined
    decline_class      TEXT CHECK (decline_class IN ('funds', 'technical', 'refused', 'authorisation_gone', 'configuration',
                           'risk')), -- what the table of codes made of it
    redirect_url       TEXT, -- where the customer approves a first payment
    request_id         TEXT, -- to quote to the gateway's support
    first_seen_at      TEXT NOT NULL, -- when we first learned of it
    status_at          TEXT NOT NULL  -- when we last learned a new status
) STRICT;
CREATE INDEX payments_of_charge ON payments (charge_id);

CREATE TABLE dunning_cases (
    id           INTEGER PRIMARY KEY, -- inside
    charge_id    INTEGER NOT NULL UNIQUE REFERENCES charges (id), -- the charge that runs through the policy
    policy_id    INTEGER NOT NULL REFERENCES dunning_policies (id), -- pinned to the version it began with
    state        TEXT NOT NULL CHECK (state IN ('open', 'recovered', 'exhausted', 'stopped')), -- how it stands or ended
    steps        INTEGER NOT NULL CHECK (steps >= 0), -- retries spent
    next_step_at TEXT, -- when the next retry is opened; none while one is on its way
    opened_at    TEXT NOT NULL, -- the first decline
    closed_at    TEXT, -- when it ended
    CHECK ((state = 'open') = (closed_at IS NULL)),
    CHECK (state = 'open' OR next_step_at IS NULL)
) STRICT;
CREATE INDEX dunning_cases_to_step ON dunning_cases (next_step_at, id) WHERE state = 'open' AND next_step_at IS NOT NULL;

CREATE TABLE review_cases (
    id              INTEGER PRIMARY KEY, -- inside
    public_id       TEXT NOT NULL UNIQUE, -- rev_..., shown
    reason          TEXT NOT NULL, -- one word for what is wrong
    subject         TEXT NOT NULL, -- what it is about: one open case for each reason and subject
    subscription_id INTEGER REFERENCES subscriptions (id), -- whose
    charge_id       INTEGER REFERENCES charges (id), -- of which period
    payment_id      TEXT, -- pay_... where it is about a payment
    evidence        TEXT NOT NULL, -- what was seen, in one sentence
    suggestion      TEXT NOT NULL, -- the next step, as a command where there is one
    opened_at       TEXT NOT NULL, -- when it was opened
    resolved_at     TEXT, -- when a person, or a later outcome, closed it
    resolution      TEXT, -- how
    resolved_by     TEXT, -- by whom
    CHECK ((resolved_at IS NULL) = (resolution IS NULL)),
    CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
) STRICT;
CREATE UNIQUE INDEX review_cases_one_open ON review_cases (reason, subject) WHERE resolved_at IS NULL;

CREATE TABLE journal (
    id              INTEGER PRIMARY KEY, -- the order of entry
    at              TEXT NOT NULL, -- when it happened
    actor           TEXT NOT NULL, -- the daemon's or the operator's name
    act             TEXT NOT NULL, -- what happened: attempt.sending, charge.paid, ...
    subscription_id INTEGER, -- whose
    charge_id       INTEGER, -- of which period
    attempt_n       INTEGER, -- in which attempt
    was             TEXT, -- the state before
    now             TEXT, -- the state after
    detail          TEXT  -- ids, codes and reasons; never personal data
) STRICT;
CREATE INDEX journal_of_subscription ON journal (subscription_id, id);
