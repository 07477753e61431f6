-- What finance reads. Twin of the other database's file of the same name: equal views and columns, in one order.
-- Columns are only added, at the end. Times and months are UTC. docs/finance.md is the data dictionary.
-- Amounts are whole minor units, and beside them an exact decimal: NUMERIC of the currency's own number of digits.

-- One row a subscription: who pays what, how often, and what came of it so far. Sums are in the plan's currency.
CREATE VIEW finance_subscriptions AS
SELECT
    s.public_id AS subscription_id, -- shown id, sub_...
    s.reference AS subscription_reference, -- the merchant's own reference of the subscription
    u.reference AS customer_reference, -- the merchant's own reference of the customer; no name and no e-mail address stands in any view
    u.country AS country, -- country of the customer, ISO 3166 alpha-2
    s.state AS state, -- incomplete, incomplete_expired, trialing, active, past_due, unpaid, paused, canceled or completed
    p.name AS plan, -- name of the plan that prices the next period
    p.version AS plan_version, -- version of that plan
    g.interval_unit AS interval_unit, -- unit of the interval: day, week, month or year
    g.interval_count AS interval_count, -- units in one period
    g.zone AS zone, -- IANA time zone in which periods are dated
    p.currency AS currency, -- ISO 4217 code of the price
    p.amount_minor AS amount_minor, -- price of one period in minor units
    ROUND(p.amount_minor * k.unit, CAST(k.exponent AS INTEGER)) AS amount, -- the same as a decimal
    o.state AS source_state, -- provisional, active, revoked or failed; null before the first payment was answered
    s.created_at AS created_at, -- when it was handed over or begun, UTC
    to_char(s.created_at AT TIME ZONE 'UTC', 'YYYY-MM') AS created_month, -- the UTC month of created_at, YYYY-MM
    s.ended_at AS ended_at, -- when it was canceled or completed, UTC; null while it runs
    to_char(s.ended_at AT TIME ZONE 'UTC', 'YYYY-MM') AS ended_month, -- the UTC month of ended_at, YYYY-MM; null while it runs
    s.cancel_reason AS cancel_reason, -- why it was canceled, in the operator's words; null where nobody said
    s.cancel_at_index AS cancel_at_period_index, -- it is canceled when this period would begin; null where that is not asked for
    s.next_index AS next_period_index, -- the first period that has no row in finance_charges
    s.next_charge_at AS next_charge_at, -- when that period begins, UTC; of no meaning once ended_at is set
    s.periods AS periods, -- rows in finance_charges, billed or not
    s.paid_periods AS paid_periods, -- those that are paid
    s.open_periods AS open_periods, -- those that are due, collecting, retrying or in_review
    s.open_minor AS open_minor, -- sum of those in minor units
    ROUND(s.open_minor * k.unit, CAST(k.exponent AS INTEGER)) AS open_amount, -- the same as a decimal
    s.collected_minor AS collected_minor, -- what was taken, refunds not deducted, in minor units
    ROUND(s.collected_minor * k.unit, CAST(k.exponent AS INTEGER)) AS collected_amount, -- the same as a decimal
    s.refunded_minor AS refunded_minor, -- what was given back, in minor units
    ROUND(s.refunded_minor * k.unit, CAST(k.exponent AS INTEGER)) AS refunded_amount -- the same as a decimal
FROM (SELECT t.*,
        (SELECT CAST(COUNT(*) AS BIGINT) FROM charges c WHERE c.subscription_id = t.id) AS periods,
        (SELECT CAST(COUNT(*) AS BIGINT) FROM charges c WHERE c.subscription_id = t.id AND c.state = 'paid') AS paid_periods,
        (SELECT CAST(COUNT(*) AS BIGINT) FROM charges c WHERE c.subscription_id = t.id AND c.state IN ('due', 'collecting', 'retrying', 'in_review')) AS open_periods,
        (SELECT CAST(COALESCE(SUM(c.amount_minor), 0) AS BIGINT) FROM charges c WHERE c.subscription_id = t.id
            AND c.currency = t.currency AND c.state IN ('due', 'collecting', 'retrying', 'in_review')) AS open_minor,
        (SELECT CAST(COALESCE(SUM(y.captured_minor), 0) AS BIGINT) FROM charges c JOIN payments y ON y.charge_id = c.id
            WHERE c.subscription_id = t.id AND COALESCE(y.currency, c.currency) = t.currency) AS collected_minor,
        (SELECT CAST(COALESCE(SUM(y.refunded_minor), 0) AS BIGINT) FROM charges c JOIN payments y ON y.charge_id = c.id
            WHERE c.subscription_id = t.id AND COALESCE(y.currency, c.currency) = t.currency) AS refunded_minor
    FROM (SELECT x.*, h.first_index, q.currency FROM subscriptions x
        LEFT JOIN segments h ON h.subscription_id = x.id AND h.first_index = (SELECT MAX(i.first_index) FROM segments i
            WHERE i.subscription_id = x.id AND i.first_index <= x.next_index)
        LEFT JOIN plans q ON q.id = h.plan_id) t) s
JOIN customers u ON u.id = s.customer_id
LEFT JOIN segments g ON g.subscription_id = s.id AND g.first_index = s.first_index
LEFT JOIN plans p ON p.id = g.plan_id
LEFT JOIN sources o ON o.id = s.source_id
LEFT JOIN (SELECT code, exponent, CASE exponent WHEN 0 THEN 1 WHEN 1 THEN 0.1 WHEN 2 THEN 0.01 WHEN 3 THEN 0.001
        ELSE 0.0001 END AS unit FROM currencies) k ON k.code = p.currency;

-- One row a billing period of a subscription, billed or not: what is owed, how it stands, and why.
CREATE VIEW finance_charges AS
SELECT
    c.public_id AS charge_id, -- shown id, chg_...
    s.public_id AS subscription_id, -- shown id of the subscription, sub_...
    s.reference AS subscription_reference, -- the merchant's own reference of the subscription
    u.reference AS customer_reference, -- the merchant's own reference of the customer
    p.name AS plan, -- name of the plan that gave the price
    p.version AS plan_version, -- version of that plan
    c.period_index AS period_index, -- number of the billing period, 0 first; negative for a first payment that pays none
    c.period_start_at AS period_start_at, -- the period's first instant, UTC
    c.period_end_at AS period_end_at, -- the first instant after it, UTC
    to_char(c.period_start_at AT TIME ZONE 'UTC', 'YYYY-MM') AS period_month, -- the UTC month of period_start_at, YYYY-MM
    c.reference AS payment_reference, -- the reference that every payment of this period carries at the gateway
    c.currency AS currency, -- ISO 4217 code
    c.amount_minor AS amount_minor, -- what is owed in minor units, frozen when the charge was opened
    ROUND(c.amount_minor * k.unit, CAST(k.exponent AS INTEGER)) AS amount, -- the same as a decimal
    c.state AS state, -- due, collecting, paid, retrying, uncollectible, void, held, skipped or in_review
    c.reason AS reason, -- why it is in that state: a decline class, a reason for review or to skip; null where the state says it all
    c.due_at AS due_at, -- from when it was owed, UTC
    to_char(c.due_at AT TIME ZONE 'UTC', 'YYYY-MM') AS due_month, -- the UTC month of due_at, YYYY-MM
    c.opened_at AS opened_at, -- when the row was made, UTC
    c.paid_at AS paid_at, -- when dues learned that the money was taken, UTC; null where it is not paid
    to_char(c.paid_at AT TIME ZONE 'UTC', 'YYYY-MM') AS paid_month, -- the UTC month of paid_at, YYYY-MM; null where it is not paid
    c.paid_by AS paid_by, -- pay_... of the payment that counts; null where it is not paid
    c.attempts AS attempts, -- tries to collect it so far
    c.declines AS declines, -- those that were declined, canceled by the customer or expired
    COALESCE(d.steps, 0) AS retries, -- dunning steps spent
    c.last_attempt_state AS last_attempt_state, -- state of the last try; null where there was none
    c.last_decline_code AS last_decline_code, -- response code of the last decline; null where there was none or the gateway gave no code
    c.last_decline_class AS last_decline_class, -- funds, technical, refused, authorisation_gone, configuration or risk; null where nothing was declined
    CASE WHEN c.state = 'paid' AND c.declines > 0 THEN 1 ELSE 0 END AS recovered, -- 1: paid after at least one decline; else 0
    COALESCE(c.live_next_at, d.next_step_at) AS next_at, -- when it is sent, looked at or tried again next, UTC; null where nothing is to come by itself
    COALESCE(r.open_reviews, 0) AS open_reviews, -- review cases about it that wait for a person
    c.collected_minor AS collected_minor, -- what was taken, refunds not deducted, in minor units
    ROUND(c.collected_minor * k.unit, CAST(k.exponent AS INTEGER)) AS collected_amount, -- the same as a decimal
    c.refunded_minor AS refunded_minor, -- what was given back, in minor units
    ROUND(c.refunded_minor * k.unit, CAST(k.exponent AS INTEGER)) AS refunded_amount -- the same as a decimal
FROM (SELECT t.*,
        (SELECT CAST(COUNT(*) AS BIGINT) FROM attempts a WHERE a.charge_id = t.id) AS attempts,
        (SELECT CAST(COUNT(*) AS BIGINT) FROM attempts a WHERE a.charge_id = t.id
            AND a.state IN ('declined', 'canceled', 'expired')) AS declines,
        (SELECT a.state FROM attempts a WHERE a.charge_id = t.id ORDER BY a.n DESC LIMIT 1) AS last_attempt_state,
        (SELECT y.response_code FROM payments y WHERE y.charge_id = t.id AND y.decline_class IS NOT NULL
            ORDER BY y.id DESC LIMIT 1) AS last_decline_code,
        (SELECT y.decline_class FROM payments y WHERE y.charge_id = t.id AND y.decline_class IS NOT NULL
            ORDER BY y.id DESC LIMIT 1) AS last_decline_class,
        (SELECT MIN(a.next_at) FROM attempts a WHERE a.charge_id = t.id
            AND a.state IN ('created', 'sending', 'unknown', 'pending')) AS live_next_at,
        (SELECT CAST(COALESCE(SUM(y.captured_minor), 0) AS BIGINT) FROM payments y WHERE y.charge_id = t.id
            AND COALESCE(y.currency, t.currency) = t.currency) AS collected_minor,
        (SELECT CAST(COALESCE(SUM(y.refunded_minor), 0) AS BIGINT) FROM payments y WHERE y.charge_id = t.id
            AND COALESCE(y.currency, t.currency) = t.currency) AS refunded_minor
    FROM charges t) c
JOIN subscriptions s ON s.id = c.subscription_id
JOIN customers u ON u.id = s.customer_id
JOIN plans p ON p.id = c.plan_id
JOIN (SELECT code, exponent, CASE exponent WHEN 0 THEN 1 WHEN 1 THEN 0.1 WHEN 2 THEN 0.01 WHEN 3 THEN 0.001
        ELSE 0.0001 END AS unit FROM currencies) k ON k.code = c.currency
LEFT JOIN dunning_cases d ON d.charge_id = c.id
LEFT JOIN (SELECT charge_id, CAST(COUNT(*) AS BIGINT) AS open_reviews FROM review_cases
    WHERE resolved_at IS NULL GROUP BY charge_id) r ON r.charge_id = c.id;

-- One row a payment ever seen at the gateway, doubles and strangers included. Amounts are the gateway's figures.
CREATE VIEW finance_payments AS
SELECT
    p.gateway_payment_id AS payment_id, -- the gateway's id, pay_...
    c.public_id AS charge_id, -- shown id of the charge whose reference it carries; null for a stranger
    s.public_id AS subscription_id, -- shown id of the subscription; null for a stranger
    s.reference AS subscription_reference, -- the merchant's own reference of the subscription; null for a stranger
    c.period_index AS period_index, -- number of the billing period; null for a stranger
    p.kind AS kind, -- first (the customer approved it), recurring, one_time or foreign
    p.reference AS payment_reference, -- the reference it carries at the gateway; null where it carries none
    a.n AS attempt, -- number of the try that it answers; null where it answers none
    p.status AS status, -- the gateway's own word
    COALESCE(p.currency, c.currency) AS currency, -- ISO 4217 code by the gateway, else the charge's; null where neither is known
    p.amount_minor AS amount_minor, -- what was asked, in minor units; null where the gateway has not said
    ROUND(p.amount_minor * k.unit, CAST(k.exponent AS INTEGER)) AS amount, -- the same as a decimal; null also where dues does not know the currency
    p.captured_minor AS captured_minor, -- what was taken, refunds not deducted, in minor units
    ROUND(p.captured_minor * k.unit, CAST(k.exponent AS INTEGER)) AS captured_amount, -- the same as a decimal; null where dues does not know the currency
    p.refunded_minor AS refunded_minor, -- what was given back, in minor units
    ROUND(p.refunded_minor * k.unit, CAST(k.exponent AS INTEGER)) AS refunded_amount, -- the same as a decimal; null where dues does not know the currency
    CASE WHEN c.paid_by = p.gateway_payment_id THEN 1 ELSE 0 END AS counts, -- 1: its charge is paid by this payment; else 0
    p.response_code AS response_code, -- why it was declined; null where it was not or the gateway gave no code
    p.decline_class AS decline_class, -- funds, technical, refused, authorisation_gone, configuration or risk; null where it was not declined
    p.request_id AS request_id, -- what to quote to the gateway's support; null where it gave none
    p.first_seen_at AS first_seen_at, -- when dues first learned of it, UTC
    to_char(p.first_seen_at AT TIME ZONE 'UTC', 'YYYY-MM') AS first_seen_month, -- the UTC month of first_seen_at, YYYY-MM
    p.status_at AS status_at -- when dues last learned a new status, UTC
FROM payments p
LEFT JOIN charges c ON c.id = p.charge_id
LEFT JOIN subscriptions s ON s.id = c.subscription_id
LEFT JOIN attempts a ON a.id = p.attempt_id
LEFT JOIN (SELECT code, exponent, CASE exponent WHEN 0 THEN 1 WHEN 1 THEN 0.1 WHEN 2 THEN 0.01 WHEN 3 THEN 0.001
        ELSE 0.0001 END AS unit FROM currencies) k ON k.code = COALESCE(p.currency, c.currency);

-- One row an open review case: what a person must decide. Resolved cases are left out.
CREATE VIEW finance_reviews AS
SELECT
    r.public_id AS review_id, -- shown id, rev_...
    r.reason AS reason, -- one word for what is wrong
    r.subject AS subject, -- what it is about
    s.public_id AS subscription_id, -- shown id of the subscription; null where it is about none
    s.reference AS subscription_reference, -- the merchant's own reference of the subscription; null where it is about none
    c.public_id AS charge_id, -- shown id of the charge; null where it is about no single period
    c.period_index AS period_index, -- number of the billing period; null where it is about no single period
    r.payment_id AS payment_id, -- pay_... where it is about a payment; else null
    c.currency AS currency, -- ISO 4217 code of the charge; null where it is about no single period
    c.amount_minor AS amount_minor, -- what the charge owes in minor units; null where it is about no single period
    ROUND(c.amount_minor * k.unit, CAST(k.exponent AS INTEGER)) AS amount, -- the same as a decimal
    r.evidence AS evidence, -- what was seen, in one sentence
    r.suggestion AS suggestion, -- what to do first
    r.opened_at AS opened_at, -- when it was opened, UTC
    to_char(r.opened_at AT TIME ZONE 'UTC', 'YYYY-MM') AS opened_month -- the UTC month of opened_at, YYYY-MM
FROM review_cases r
LEFT JOIN subscriptions s ON s.id = r.subscription_id
LEFT JOIN charges c ON c.id = r.charge_id
LEFT JOIN (SELECT code, exponent, CASE exponent WHEN 0 THEN 1 WHEN 1 THEN 0.1 WHEN 2 THEN 0.01 WHEN 3 THEN 0.001
        ELSE 0.0001 END AS unit FROM currencies) k ON k.code = c.currency
WHERE r.resolved_at IS NULL;

-- One row a broken rule of the books. It is empty; a row is a fault, and what dues verify shows. docs/finance.md lists the rules.
CREATE VIEW finance_exceptions AS
SELECT
    b.rule AS rule, -- the rule that is broken, in one word
    s.public_id AS subscription_id, -- shown id of the subscription; null where it is about none
    s.reference AS subscription_reference, -- the merchant's own reference of the subscription; null where it is about none
    c.public_id AS charge_id, -- shown id of the charge; null where it is about no single period
    b.payment_id AS payment_id, -- pay_... where it is about a payment; else null
    b.detail AS detail -- what is wrong, in words
FROM (
    -- charged_twice: money of one period is kept twice. Refunding the payment that does not count mends it.
    SELECT 'charged_twice' AS rule, c.subscription_id, c.id AS charge_id, p.gateway_payment_id AS payment_id,
        'the period holds money of another payment too: refund the one that does not count' AS detail
    FROM payments p JOIN charges c ON c.id = p.charge_id
    WHERE p.captured_minor > p.refunded_minor AND (c.paid_by IS NULL OR c.paid_by <> p.gateway_payment_id)
        AND EXISTS (SELECT 1 FROM payments y WHERE y.charge_id = c.id AND y.captured_minor > y.refunded_minor
            AND (y.gateway_payment_id = c.paid_by OR y.id < p.id))
    UNION ALL
    -- captured_not_paid: money was kept and the charge does not say so, nor does a review case.
    SELECT 'captured_not_paid', c.subscription_id, c.id, p.gateway_payment_id, 'money was taken, and the charge is ' || c.state
    FROM payments p JOIN charges c ON c.id = p.charge_id
    WHERE p.captured_minor > p.refunded_minor AND c.state <> 'paid'
        AND NOT EXISTS (SELECT 1 FROM review_cases r WHERE r.charge_id = c.id AND r.resolved_at IS NULL)
    UNION ALL
    -- paid_not_captured: the payment that should have paid is unknown, or took another amount.
    SELECT 'paid_not_captured', c.subscription_id, c.id, c.paid_by,
        CASE WHEN p.id IS NULL THEN 'the payment that paid it is not in the books'
            ELSE 'the payment that paid it took ' || p.captured_minor || ' of ' || c.amount_minor || ' minor units' END
    FROM charges c LEFT JOIN payments p ON p.gateway_payment_id = c.paid_by AND p.charge_id = c.id
    WHERE c.state = 'paid' AND (p.id IS NULL OR p.captured_minor <> c.amount_minor)
    UNION ALL
    -- captured_differs: what was taken is not what was owed.
    SELECT 'captured_differs', c.subscription_id, c.id, p.gateway_payment_id,
        'the payment is of ' || COALESCE(p.currency, c.currency) || ' ' || COALESCE(p.amount_minor, p.captured_minor)
        || ', the charge of ' || c.currency || ' ' || c.amount_minor || ' (minor units)'
    FROM payments p JOIN charges c ON c.id = p.charge_id
    WHERE p.captured_minor > 0 AND (COALESCE(p.amount_minor, p.captured_minor) <> c.amount_minor
        OR COALESCE(p.currency, c.currency) <> c.currency)
    UNION ALL
    -- opened_after_end: cancel wins, so nothing is opened after it but what is not owed.
    SELECT 'opened_after_end', s.id, c.id, NULL, 'it was opened after the subscription had ended'
    FROM charges c JOIN subscriptions s ON s.id = c.subscription_id
    WHERE s.state = 'canceled' AND c.opened_at > s.ended_at AND c.state NOT IN ('void', 'skipped')
    UNION ALL
    -- open_after_end: it is still open though canceled, and no try or dunning step is on its way to close it.
    SELECT 'open_after_end', s.id, c.id, NULL, 'the subscription was canceled, and the charge is still ' || c.state
    FROM charges c JOIN subscriptions s ON s.id = c.subscription_id
    WHERE s.state = 'canceled' AND c.state IN ('due', 'collecting', 'retrying')
        AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.charge_id = c.id
            AND a.state IN ('created', 'sending', 'unknown', 'pending'))
        AND NOT EXISTS (SELECT 1 FROM dunning_cases d WHERE d.charge_id = c.id AND d.state = 'open'
            AND d.next_step_at IS NOT NULL)
    UNION ALL
    -- attempt_without_next: the schema forbids it; here in case that rule was ever lifted.
    SELECT 'attempt_without_next', c.subscription_id, c.id, a.payment_id, 'its attempt ' || a.n || ' is ' || a.state
        || ' and has no next look'
    FROM attempts a JOIN charges c ON c.id = a.charge_id
    WHERE a.state IN ('created', 'sending', 'unknown', 'pending') AND a.next_at IS NULL
    UNION ALL
    -- attempt_overdue: by the last heartbeat it has waited for a day, and no daemon holds it.
    SELECT 'attempt_overdue', c.subscription_id, c.id, a.payment_id, 'its attempt ' || a.n || ' is ' || a.state
        || ' and was to be looked at more than a day ago'
    FROM attempts a JOIN charges c ON c.id = a.charge_id
    JOIN (SELECT heartbeat_at, heartbeat_at - INTERVAL '24 hours' AS day_ago FROM installation) i
        ON a.next_at < i.day_ago AND a.lease_until <= i.heartbeat_at
    WHERE a.state IN ('created', 'sending', 'unknown', 'pending')
    UNION ALL
    -- period_overdue: by the last heartbeat nobody has looked for a day whether a period begins.
    SELECT 'period_overdue', s.id, NULL, NULL, 'period ' || s.next_index || ' was to be looked at more than a day ago'
    FROM subscriptions s JOIN (SELECT heartbeat_at - INTERVAL '24 hours' AS day_ago FROM installation) i ON s.bill_at < i.day_ago
    WHERE s.state IN ('trialing', 'active', 'past_due', 'unpaid', 'paused')
    UNION ALL
    -- retry_overdue: by the last heartbeat a dunning step has waited for a day.
    SELECT 'retry_overdue', c.subscription_id, c.id, NULL, 'its next try was to be opened more than a day ago'
    FROM dunning_cases d JOIN charges c ON c.id = d.charge_id
    JOIN (SELECT heartbeat_at - INTERVAL '24 hours' AS day_ago FROM installation) i ON d.next_step_at < i.day_ago
    WHERE d.state = 'open'
    UNION ALL
    -- charge_forgotten: it should be collected, and neither an attempt nor a person is at work on it.
    SELECT 'charge_forgotten', c.subscription_id, c.id, NULL, 'it is ' || c.state || ' and no attempt is on its way'
    FROM charges c
    WHERE c.state IN ('due', 'collecting')
        AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.charge_id = c.id
            AND a.state IN ('created', 'sending', 'unknown', 'pending'))
        AND NOT EXISTS (SELECT 1 FROM review_cases r WHERE r.charge_id = c.id AND r.resolved_at IS NULL)
    UNION ALL
    -- retry_forgotten: it waits for a dunning step, and there is none.
    SELECT 'retry_forgotten', c.subscription_id, c.id, NULL, 'it waits for its next try, and none is to come'
    FROM charges c
    WHERE c.state = 'retrying'
        AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.charge_id = c.id
            AND a.state IN ('created', 'sending', 'unknown', 'pending'))
        AND NOT EXISTS (SELECT 1 FROM dunning_cases d WHERE d.charge_id = c.id AND d.state = 'open'
            AND d.next_step_at IS NOT NULL)
    UNION ALL
    -- review_forgotten: it waits for a person, and nobody is asked.
    SELECT 'review_forgotten', c.subscription_id, c.id, NULL, 'it is in review, and no review case about it is open'
    FROM charges c
    WHERE c.state = 'in_review'
        AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.charge_id = c.id
            AND a.state IN ('created', 'sending', 'unknown', 'pending'))
        AND NOT EXISTS (SELECT 1 FROM review_cases r WHERE r.charge_id = c.id AND r.resolved_at IS NULL)
    UNION ALL
    -- dunning_of_closed: dunning goes on for what is paid or no longer asked for.
    SELECT 'dunning_of_closed', c.subscription_id, c.id, c.paid_by, 'its dunning case is open, and the charge is ' || c.state
    FROM charges c JOIN dunning_cases d ON d.charge_id = c.id
    WHERE d.state = 'open' AND c.state IN ('paid', 'void', 'uncollectible', 'skipped')
    UNION ALL
    -- revoked_to_be_charged: an intent on a source that is gone. One that came back unsent is withdrawn when its time comes.
    SELECT 'revoked_to_be_charged', s.id, c.id, NULL, 'its source is revoked, and attempt ' || a.n || ' is still to be sent'
    FROM attempts a JOIN charges c ON c.id = a.charge_id JOIN subscriptions s ON s.id = c.subscription_id
    JOIN sources o ON o.id = s.source_id
    WHERE a.state = 'created' AND a.kind = 'recurring' AND a.lease_epoch = 0 AND o.state = 'revoked' AND c.state <> 'in_review'
    UNION ALL
    -- active_without_source: it goes on being billed on a source that cannot be charged.
    SELECT 'active_without_source', s.id, NULL, NULL, 'it is ' || s.state || ', and its source is ' || COALESCE(o.state, 'unknown')
    FROM subscriptions s LEFT JOIN sources o ON o.id = s.source_id
    WHERE s.state IN ('trialing', 'active', 'past_due') AND (o.id IS NULL OR o.state <> 'active')
    UNION ALL
    -- paid_without_journal: a paid charge that no line of the journal accounts for.
    SELECT 'paid_without_journal', c.subscription_id, c.id, c.paid_by, 'no line of the journal says that it was paid'
    FROM charges c
    WHERE c.state = 'paid' AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.subscription_id = c.subscription_id
        AND j.charge_id = c.id AND j.act = 'charge' AND j.now = 'paid')
    UNION ALL
    -- paid_lost: the journal says that it was paid, and being paid is never lost.
    SELECT 'paid_lost', c.subscription_id, c.id, NULL, 'the journal says that it was paid, and it is ' || c.state
    FROM charges c
    WHERE c.state <> 'paid' AND EXISTS (SELECT 1 FROM journal j WHERE j.subscription_id = c.subscription_id
        AND j.charge_id = c.id AND j.act = 'charge' AND j.now = 'paid')
    UNION ALL
    -- period_gap: every period from the first row to the next one has its row, billed or not.
    SELECT 'period_gap', s.id, NULL, NULL, 'periods ' || MIN(c.period_index) || ' to ' || (s.next_index - 1) || ' have '
        || COUNT(*) || ' rows'
    FROM subscriptions s JOIN charges c ON c.subscription_id = s.id AND c.period_index >= 0
    GROUP BY s.id, s.next_index
    HAVING COUNT(*) <> s.next_index - MIN(c.period_index) OR MAX(c.period_index) >= s.next_index
) b
LEFT JOIN subscriptions s ON s.id = b.subscription_id
LEFT JOIN charges c ON c.id = b.charge_id;

-- The same words for whoever looks with a database tool.
COMMENT ON VIEW finance_subscriptions IS 'One row a subscription: who pays what, how often, and what came of it so far. Sums are in the plan''s currency.';
COMMENT ON COLUMN finance_subscriptions.subscription_id IS 'shown id, sub_...';
COMMENT ON COLUMN finance_subscriptions.subscription_reference IS 'the merchant''s own reference of the subscription';
COMMENT ON COLUMN finance_subscriptions.customer_reference IS 'the merchant''s own reference of the customer; no name and no e-mail address stands in any view';
COMMENT ON COLUMN finance_subscriptions.country IS 'country of the customer, ISO 3166 alpha-2';
COMMENT ON COLUMN finance_subscriptions.state IS 'incomplete, incomplete_expired, trialing, active, past_due, unpaid, paused, canceled or completed';
COMMENT ON COLUMN finance_subscriptions.plan IS 'name of the plan that prices the next period';
COMMENT ON COLUMN finance_subscriptions.plan_version IS 'version of that plan';
COMMENT ON COLUMN finance_subscriptions.interval_unit IS 'unit of the interval: day, week, month or year';
COMMENT ON COLUMN finance_subscriptions.interval_count IS 'units in one period';
COMMENT ON COLUMN finance_subscriptions.zone IS 'IANA time zone in which periods are dated';
COMMENT ON COLUMN finance_subscriptions.currency IS 'ISO 4217 code of the price';
COMMENT ON COLUMN finance_subscriptions.amount_minor IS 'price of one period in minor units';
COMMENT ON COLUMN finance_subscriptions.amount IS 'the same as a decimal';
COMMENT ON COLUMN finance_subscriptions.source_state IS 'provisional, active, revoked or failed; null before the first payment was answered';
COMMENT ON COLUMN finance_subscriptions.created_at IS 'when it was handed over or begun, UTC';
COMMENT ON COLUMN finance_subscriptions.created_month IS 'the UTC month of created_at, YYYY-MM';
COMMENT ON COLUMN finance_subscriptions.ended_at IS 'when it was canceled or completed, UTC; null while it runs';
COMMENT ON COLUMN finance_subscriptions.ended_month IS 'the UTC month of ended_at, YYYY-MM; null while it runs';
COMMENT ON COLUMN finance_subscriptions.cancel_reason IS 'why it was canceled, in the operator''s words; null where nobody said';
COMMENT ON COLUMN finance_subscriptions.cancel_at_period_index IS 'it is canceled when this period would begin; null where that is not asked for';
COMMENT ON COLUMN finance_subscriptions.next_period_index IS 'the first period that has no row in finance_charges';
COMMENT ON COLUMN finance_subscriptions.next_charge_at IS 'when that period begins, UTC; of no meaning once ended_at is set';
COMMENT ON COLUMN finance_subscriptions.periods IS 'rows in finance_charges, billed or not';
COMMENT ON COLUMN finance_subscriptions.paid_periods IS 'those that are paid';
COMMENT ON COLUMN finance_subscriptions.open_periods IS 'those that are due, collecting, retrying or in_review';
COMMENT ON COLUMN finance_subscriptions.open_minor IS 'sum of those in minor units';
COMMENT ON COLUMN finance_subscriptions.open_amount IS 'the same as a decimal';
COMMENT ON COLUMN finance_subscriptions.collected_minor IS 'what was taken, refunds not deducted, in minor units';
COMMENT ON COLUMN finance_subscriptions.collected_amount IS 'the same as a decimal';
COMMENT ON COLUMN finance_subscriptions.refunded_minor IS 'what was given back, in minor units';
COMMENT ON COLUMN finance_subscriptions.refunded_amount IS 'the same as a decimal';
COMMENT ON VIEW finance_charges IS 'One row a billing period of a subscription, billed or not: what is owed, how it stands, and why.';
COMMENT ON COLUMN finance_charges.charge_id IS 'shown id, chg_...';
COMMENT ON COLUMN finance_charges.subscription_id IS 'shown id of the subscription, sub_...';
COMMENT ON COLUMN finance_charges.subscription_reference IS 'the merchant''s own reference of the subscription';
COMMENT ON COLUMN finance_charges.customer_reference IS 'the merchant''s own reference of the customer';
COMMENT ON COLUMN finance_charges.plan IS 'name of the plan that gave the price';
COMMENT ON COLUMN finance_charges.plan_version IS 'version of that plan';
COMMENT ON COLUMN finance_charges.period_index IS 'number of the billing period, 0 first; negative for a first payment that pays none';
COMMENT ON COLUMN finance_charges.period_start_at IS 'the period''s first instant, UTC';
COMMENT ON COLUMN finance_charges.period_end_at IS 'the first instant after it, UTC';
COMMENT ON COLUMN finance_charges.period_month IS 'the UTC month of period_start_at, YYYY-MM';
COMMENT ON COLUMN finance_charges.payment_reference IS 'the reference that every payment of this period carries at the gateway';
COMMENT ON COLUMN finance_charges.currency IS 'ISO 4217 code';
COMMENT ON COLUMN finance_charges.amount_minor IS 'what is owed in minor units, frozen when the charge was opened';
COMMENT ON COLUMN finance_charges.amount IS 'the same as a decimal';
COMMENT ON COLUMN finance_charges.state IS 'due, collecting, paid, retrying, uncollectible, void, held, skipped or in_review';
COMMENT ON COLUMN finance_charges.reason IS 'why it is in that state: a decline class, a reason for review or to skip; null where the state says it all';
COMMENT ON COLUMN finance_charges.due_at IS 'from when it was owed, UTC';
COMMENT ON COLUMN finance_charges.due_month IS 'the UTC month of due_at, YYYY-MM';
COMMENT ON COLUMN finance_charges.opened_at IS 'when the row was made, UTC';
COMMENT ON COLUMN finance_charges.paid_at IS 'when dues learned that the money was taken, UTC; null where it is not paid';
COMMENT ON COLUMN finance_charges.paid_month IS 'the UTC month of paid_at, YYYY-MM; null where it is not paid';
COMMENT ON COLUMN finance_charges.paid_by IS 'pay_... of the payment that counts; null where it is not paid';
COMMENT ON COLUMN finance_charges.attempts IS 'tries to collect it so far';
COMMENT ON COLUMN finance_charges.declines IS 'those that were declined, canceled by the customer or expired';
COMMENT ON COLUMN finance_charges.retries IS 'dunning steps spent';
COMMENT ON COLUMN finance_charges.last_attempt_state IS 'state of the last try; null where there was none';
COMMENT ON COLUMN finance_charges.last_decline_code IS 'response code of the last decline; null where there was none or the gateway gave no code';
COMMENT ON COLUMN finance_charges.last_decline_class IS 'funds, technical, refused, authorisation_gone, configuration or risk; null where nothing was declined';
COMMENT ON COLUMN finance_charges.recovered IS '1: paid after at least one decline; else 0';
COMMENT ON COLUMN finance_charges.next_at IS 'when it is sent, looked at or tried again next, UTC; null where nothing is to come by itself';
COMMENT ON COLUMN finance_charges.open_reviews IS 'review cases about it that wait for a person';
COMMENT ON COLUMN finance_charges.collected_minor IS 'what was taken, refunds not deducted, in minor units';
COMMENT ON COLUMN finance_charges.collected_amount IS 'the same as a decimal';
COMMENT ON COLUMN finance_charges.refunded_minor IS 'what was given back, in minor units';
COMMENT ON COLUMN finance_charges.refunded_amount IS 'the same as a decimal';
COMMENT ON VIEW finance_payments IS 'One row a payment ever seen at the gateway, doubles and strangers included. Amounts are the gateway''s figures.';
COMMENT ON COLUMN finance_payments.payment_id IS 'the gateway''s id, pay_...';
COMMENT ON COLUMN finance_payments.charge_id IS 'shown id of the charge whose reference it carries; null for a stranger';
COMMENT ON COLUMN finance_payments.subscription_id IS 'shown id of the subscription; null for a stranger';
COMMENT ON COLUMN finance_payments.subscription_reference IS 'the merchant''s own reference of the subscription; null for a stranger';
COMMENT ON COLUMN finance_payments.period_index IS 'number of the billing period; null for a stranger';
COMMENT ON COLUMN finance_payments.kind IS 'first (the customer approved it), recurring, one_time or foreign';
COMMENT ON COLUMN finance_payments.payment_reference IS 'the reference it carries at the gateway; null where it carries none';
COMMENT ON COLUMN finance_payments.attempt IS 'number of the try that it answers; null where it answers none';
COMMENT ON COLUMN finance_payments.status IS 'the gateway''s own word';
COMMENT ON COLUMN finance_payments.currency IS 'ISO 4217 code by the gateway, else the charge''s; null where neither is known';
COMMENT ON COLUMN finance_payments.amount_minor IS 'what was asked, in minor units; null where the gateway has not said';
COMMENT ON COLUMN finance_payments.amount IS 'the same as a decimal; null also where dues does not know the currency';
COMMENT ON COLUMN finance_payments.captured_minor IS 'what was taken, refunds not deducted, in minor units';
COMMENT ON COLUMN finance_payments.captured_amount IS 'the same as a decimal; null where dues does not know the currency';
COMMENT ON COLUMN finance_payments.refunded_minor IS 'what was given back, in minor units';
COMMENT ON COLUMN finance_payments.refunded_amount IS 'the same as a decimal; null where dues does not know the currency';
COMMENT ON COLUMN finance_payments.counts IS '1: its charge is paid by this payment; else 0';
COMMENT ON COLUMN finance_payments.response_code IS 'why it was declined; null where it was not or the gateway gave no code';
COMMENT ON COLUMN finance_payments.decline_class IS 'funds, technical, refused, authorisation_gone, configuration or risk; null where it was not declined';
COMMENT ON COLUMN finance_payments.request_id IS 'what to quote to the gateway''s support; null where it gave none';
COMMENT ON COLUMN finance_payments.first_seen_at IS 'when dues first learned of it, UTC';
COMMENT ON COLUMN finance_payments.first_seen_month IS 'the UTC month of first_seen_at, YYYY-MM';
COMMENT ON COLUMN finance_payments.status_at IS 'when dues last learned a new status, UTC';
COMMENT ON VIEW finance_reviews IS 'One row an open review case: what a person must decide. Resolved cases are left out.';
COMMENT ON COLUMN finance_reviews.review_id IS 'shown id, rev_...';
COMMENT ON COLUMN finance_reviews.reason IS 'one word for what is wrong';
COMMENT ON COLUMN finance_reviews.subject IS 'what it is about';
COMMENT ON COLUMN finance_reviews.subscription_id IS 'shown id of the subscription; null where it is about none';
COMMENT ON COLUMN finance_reviews.subscription_reference IS 'the merchant''s own reference of the subscription; null where it is about none';
COMMENT ON COLUMN finance_reviews.charge_id IS 'shown id of the charge; null where it is about no single period';
COMMENT ON COLUMN finance_reviews.period_index IS 'number of the billing period; null where it is about no single period';
COMMENT ON COLUMN finance_reviews.payment_id IS 'pay_... where it is about a payment; else null';
COMMENT ON COLUMN finance_reviews.currency IS 'ISO 4217 code of the charge; null where it is about no single period';
COMMENT ON COLUMN finance_reviews.amount_minor IS 'what the charge owes in minor units; null where it is about no single period';
COMMENT ON COLUMN finance_reviews.amount IS 'the same as a decimal';
COMMENT ON COLUMN finance_reviews.evidence IS 'what was seen, in one sentence';
COMMENT ON COLUMN finance_reviews.suggestion IS 'what to do first';
COMMENT ON COLUMN finance_reviews.opened_at IS 'when it was opened, UTC';
COMMENT ON COLUMN finance_reviews.opened_month IS 'the UTC month of opened_at, YYYY-MM';
COMMENT ON VIEW finance_exceptions IS 'One row a broken rule of the books. It is empty; a row is a fault, and what dues verify shows. docs/finance.md lists the rules.';
COMMENT ON COLUMN finance_exceptions.rule IS 'the rule that is broken, in one word';
COMMENT ON COLUMN finance_exceptions.subscription_id IS 'shown id of the subscription; null where it is about none';
COMMENT ON COLUMN finance_exceptions.subscription_reference IS 'the merchant''s own reference of the subscription; null where it is about none';
COMMENT ON COLUMN finance_exceptions.charge_id IS 'shown id of the charge; null where it is about no single period';
COMMENT ON COLUMN finance_exceptions.payment_id IS 'pay_... where it is about a payment; else null';
COMMENT ON COLUMN finance_exceptions.detail IS 'what is wrong, in words';
