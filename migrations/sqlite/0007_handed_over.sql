-- What is handed over late is not overdue: the periods of a subscription are missed a day after it was handed over, not before.
-- Twin of the other database's file of the same name. The view's columns are those that it had; docs/finance.md lists its rules.

-- A first payment stands for one subscription: an import asks for it.
CREATE INDEX subscriptions_of_first_payment ON subscriptions (first_payment_id) WHERE first_payment_id IS NOT NULL;

DROP VIEW finance_exceptions;
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
    JOIN (SELECT heartbeat_at, strftime('%Y-%m-%dT%H:%M:%f', heartbeat_at, '-1 day') || '000Z' AS day_ago FROM installation) i
        ON a.next_at < i.day_ago AND a.lease_until <= i.heartbeat_at
    WHERE a.state IN ('created', 'sending', 'unknown', 'pending')
    UNION ALL
    -- period_overdue: by the last heartbeat nobody has looked for a day whether a period begins, of those handed over before.
    SELECT 'period_overdue', s.id, NULL, NULL, 'period ' || s.next_index || ' was to be looked at more than a day ago'
    FROM subscriptions s JOIN (SELECT strftime('%Y-%m-%dT%H:%M:%f', heartbeat_at, '-1 day') || '000Z' AS day_ago FROM installation) i ON s.bill_at < i.day_ago
        AND s.handed_over_at < i.day_ago
    WHERE s.state IN ('trialing', 'active', 'past_due', 'unpaid', 'paused')
    UNION ALL
    -- retry_overdue: by the last heartbeat a dunning step has waited for a day.
    SELECT 'retry_overdue', c.subscription_id, c.id, NULL, 'its next try was to be opened more than a day ago'
    FROM dunning_cases d JOIN charges c ON c.id = d.charge_id
    JOIN (SELECT strftime('%Y-%m-%dT%H:%M:%f', heartbeat_at, '-1 day') || '000Z' AS day_ago FROM installation) i ON d.next_step_at < i.day_ago
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
    UNION ALL
    -- captured_not_settled: money was taken, and the attempt is still waited for. A first payment may wait for its source.
    SELECT 'captured_not_settled', c.subscription_id, c.id, p.gateway_payment_id, 'money was taken, and its attempt ' || a.n
        || ' is still ' || a.state
    FROM payments p JOIN attempts a ON a.id = p.attempt_id JOIN charges c ON c.id = a.charge_id
    WHERE p.captured_minor > 0 AND a.kind = 'recurring' AND a.state IN ('created', 'sending', 'unknown', 'pending')
        AND NOT EXISTS (SELECT 1 FROM review_cases r WHERE r.charge_id = c.id AND r.resolved_at IS NULL)
    UNION ALL
    -- request_missing: what is to be sent, or may have to be sent again, is gone.
    SELECT 'request_missing', c.subscription_id, c.id, NULL, 'its attempt ' || a.n || ' is ' || a.state || ' and has no request'
    FROM attempts a JOIN charges c ON c.id = a.charge_id
    WHERE a.state IN ('created', 'sending', 'unknown')
        AND NOT EXISTS (SELECT 1 FROM requests q WHERE q.charge_id = a.charge_id AND q.n = a.n)
    UNION ALL
    -- lease_overdue: whoever held it let it go an hour ago, and a daemon that nothing keeps from work has not taken it.
    SELECT 'lease_overdue', c.subscription_id, c.id, a.payment_id, 'its attempt ' || a.n || ' is ' || a.state || ', the lease of '
        || COALESCE(a.lease_owner, 'nobody') || ' is over for more than an hour, and nobody has looked'
    FROM attempts a JOIN charges c ON c.id = a.charge_id
    JOIN (SELECT strftime('%Y-%m-%dT%H:%M:%f', heartbeat_at, '-1 hour') || '000Z' AS hour_ago FROM installation) i ON a.next_at < i.hour_ago AND a.lease_until < i.hour_ago
    WHERE a.state IN ('sending', 'unknown', 'pending') AND EXISTS (SELECT 1 FROM nodes n WHERE n.stopped_at IS NULL
        AND n.condition IS NULL AND n.heartbeat_at >= i.hour_ago)
    UNION ALL
    -- sent_after_revocation: the authorisation was gone a minute before it was sent; what crossed it on the way is let be.
    SELECT 'sent_after_revocation', s.id, c.id, a.payment_id, 'its attempt ' || a.n || ' was sent after the source had been revoked'
    FROM attempts a JOIN charges c ON c.id = a.charge_id JOIN subscriptions s ON s.id = c.subscription_id
    JOIN (SELECT id, strftime('%Y-%m-%dT%H:%M:%f', revoked_at, '+1 minute') || '000Z' AS minute_after FROM sources WHERE state = 'revoked') o
        ON o.id = s.source_id AND a.last_sent_at > o.minute_after
    WHERE a.kind = 'recurring' AND a.sends > 0
    UNION ALL
    -- period_forgotten: a period began a day ago and was handed over by then, nothing that it may wait for is open, and it is looked for later
    -- only.
    SELECT 'period_forgotten', s.id, NULL, NULL, 'period ' || s.next_index || ' began more than a day ago, and has no row'
    FROM subscriptions s JOIN (SELECT strftime('%Y-%m-%dT%H:%M:%f', heartbeat_at, '-1 day') || '000Z' AS day_ago FROM installation) i
        ON s.next_charge_at < i.day_ago AND s.bill_at >= i.day_ago
        AND s.handed_over_at < i.day_ago
    WHERE s.state IN ('trialing', 'active', 'past_due', 'unpaid', 'paused')
        AND NOT EXISTS (SELECT 1 FROM charges c JOIN attempts a ON a.charge_id = c.id WHERE c.subscription_id = s.id
            AND c.period_index = s.next_index - 1 AND a.state IN ('sending', 'unknown', 'pending'))
        AND NOT (s.cancel_at_index IS NOT NULL AND EXISTS (SELECT 1 FROM charges c WHERE c.subscription_id = s.id
            AND c.state IN ('due', 'collecting')))
        AND NOT EXISTS (SELECT 1 FROM review_cases r WHERE r.subscription_id = s.id AND r.resolved_at IS NULL
            AND r.reason IN ('calendar', 'unreadable'))
    UNION ALL
    -- sums_differ: what the payments that count took is what the journal says was paid, to the cent.
    SELECT 'sums_differ', NULL, NULL, NULL, b.code || ': the payments that count took ' || b.taken_minor
        || ' minor units, and by the journal ' || b.told_minor || ' were paid'
    FROM (SELECT k.code,
            (SELECT CAST(COALESCE(SUM(p.captured_minor), 0) AS BIGINT) FROM charges c
                JOIN payments p ON p.gateway_payment_id = c.paid_by WHERE c.currency = k.code) AS taken_minor,
            (SELECT CAST(COALESCE(SUM(c.amount_minor), 0) AS BIGINT) FROM journal j JOIN charges c ON c.id = j.charge_id
                WHERE j.act = 'charge' AND j.now = 'paid' AND c.currency = k.code) AS told_minor
        FROM currencies k) b
    WHERE b.taken_minor <> b.told_minor
    UNION ALL
    -- ledger_unknown: nothing says whose books these are, so that no reference can be known again.
    SELECT 'ledger_unknown', NULL, NULL, NULL, 'there are subscriptions, and nothing says to which ledger they belong'
    WHERE EXISTS (SELECT 1 FROM subscriptions) AND NOT EXISTS (SELECT 1 FROM installation)
    UNION ALL
    -- stop_unasked: nothing is sent, and nobody is asked to look into it.
    SELECT 'stop_unasked', NULL, NULL, NULL, 'nothing is sent since a fence holds, and no review case says so'
    FROM installation i
    WHERE i.held_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM review_cases r WHERE r.reason = 'hold' AND r.resolved_at IS NULL)
    UNION ALL
    SELECT 'stop_unasked', NULL, NULL, NULL, 'nothing is collected since a plan was exceeded, and no review case says so'
    FROM installation i
    WHERE i.braked_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM review_cases r WHERE r.reason = 'brake' AND r.resolved_at IS NULL)
) b
LEFT JOIN subscriptions s ON s.id = b.subscription_id
LEFT JOIN charges c ON c.id = b.charge_id;
