-- Whoever leaves a checkout owes nothing: the first payments of subscriptions that never began are told apart.
-- Twin of the other database's file of the same name. The view's columns are those that it had, and one more; docs/finance.md lists them.

DROP VIEW finance_charges;

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
    substr(c.period_start_at, 1, 7) AS period_month, -- the UTC month of period_start_at, YYYY-MM
    c.reference AS payment_reference, -- the reference that every payment of this period carries at the gateway
    c.currency AS currency, -- ISO 4217 code
    c.amount_minor AS amount_minor, -- what is owed in minor units, frozen when the charge was opened
    iif(c.amount_minor < 0, '-', '') || (abs(c.amount_minor) / k.scale)
        || iif(k.exponent = 0, '', '.' || substr('0000' || (abs(c.amount_minor) % k.scale), -k.exponent)) AS amount, -- the same as a decimal
    c.state AS state, -- due, collecting, paid, retrying, uncollectible, void, held, skipped or in_review
    c.reason AS reason, -- why it is in that state: a decline class, a reason for review or to skip; null where the state says it all
    c.due_at AS due_at, -- from when it was owed, UTC
    substr(c.due_at, 1, 7) AS due_month, -- the UTC month of due_at, YYYY-MM
    c.opened_at AS opened_at, -- when the row was made, UTC
    c.paid_at AS paid_at, -- when dues learned that the money was taken, UTC; null where it is not paid
    substr(c.paid_at, 1, 7) AS paid_month, -- the UTC month of paid_at, YYYY-MM; null where it is not paid
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
    iif(c.collected_minor < 0, '-', '') || (abs(c.collected_minor) / k.scale)
        || iif(k.exponent = 0, '', '.' || substr('0000' || (abs(c.collected_minor) % k.scale), -k.exponent)) AS collected_amount, -- the same as a decimal
    c.refunded_minor AS refunded_minor, -- what was given back, in minor units
    iif(c.refunded_minor < 0, '-', '') || (abs(c.refunded_minor) / k.scale)
        || iif(k.exponent = 0, '', '.' || substr('0000' || (abs(c.refunded_minor) % k.scale), -k.exponent)) AS refunded_amount, -- the same as a decimal
    CASE WHEN s.state IN ('incomplete', 'incomplete_expired') AND c.state <> 'paid' THEN 1 ELSE 0 END AS checkout -- 1: a first payment that its customer has not made, or did not want: nothing is owed by it; else 0
FROM (SELECT t.*,
        (SELECT COUNT(*) FROM attempts a WHERE a.charge_id = t.id) AS attempts,
        (SELECT COUNT(*) FROM attempts a WHERE a.charge_id = t.id
            AND a.state IN ('declined', 'canceled', 'expired')) AS declines,
        (SELECT a.state FROM attempts a WHERE a.charge_id = t.id ORDER BY a.n DESC LIMIT 1) AS last_attempt_state,
        (SELECT y.response_code FROM payments y WHERE y.charge_id = t.id AND y.decline_class IS NOT NULL
            ORDER BY y.id DESC LIMIT 1) AS last_decline_code,
        (SELECT y.decline_class FROM payments y WHERE y.charge_id = t.id AND y.decline_class IS NOT NULL
            ORDER BY y.id DESC LIMIT 1) AS last_decline_class,
        (SELECT MIN(a.next_at) FROM attempts a WHERE a.charge_id = t.id
            AND a.state IN ('created', 'sending', 'unknown', 'pending')) AS live_next_at,
        (SELECT COALESCE(SUM(y.captured_minor), 0) FROM payments y WHERE y.charge_id = t.id
            AND COALESCE(y.currency, t.currency) = t.currency) AS collected_minor,
        (SELECT COALESCE(SUM(y.refunded_minor), 0) FROM payments y WHERE y.charge_id = t.id
            AND COALESCE(y.currency, t.currency) = t.currency) AS refunded_minor
    FROM charges t) c
JOIN subscriptions s ON s.id = c.subscription_id
JOIN customers u ON u.id = s.customer_id
JOIN plans p ON p.id = c.plan_id
JOIN (SELECT code, exponent, CASE exponent WHEN 0 THEN 1 WHEN 1 THEN 10 WHEN 2 THEN 100 WHEN 3 THEN 1000
        ELSE 10000 END AS scale FROM currencies) k ON k.code = c.currency
LEFT JOIN dunning_cases d ON d.charge_id = c.id
LEFT JOIN (SELECT charge_id, COUNT(*) AS open_reviews FROM review_cases
    WHERE resolved_at IS NULL GROUP BY charge_id) r ON r.charge_id = c.id;
