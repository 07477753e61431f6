//! What finance asks at a month's end, a query a question. docs/finance.md explains the answers.

use super::{Report, decimal, number, sum, text, time};

/// Every question.
pub const QUESTIONS: &[Report] = &[
    Report {
        name: "due",
        about: "What fell due in a month, and how does it stand",
        query: "SELECT due_month, currency, state, COUNT(*) AS periods, SUM(amount_minor) AS amount_minor \
                FROM finance_charges WHERE checkout = 0 GROUP BY due_month, currency, state",
        columns: &[text("due_month"), text("currency"), text("state"), number("periods"), sum("amount_minor")],
        month: Some("due_month"),
        order: &["due_month", "currency", "state"],
    },
    Report {
        name: "collected",
        about: "What was collected in a month",
        query: "SELECT paid_month, currency, COUNT(*) AS periods, SUM(collected_minor) AS collected_minor, \
                SUM(refunded_minor) AS refunded_minor \
                FROM finance_charges WHERE state = 'paid' GROUP BY paid_month, currency",
        columns: &[
            text("paid_month"),
            text("currency"),
            number("periods"),
            sum("collected_minor"),
            sum("refunded_minor"),
        ],
        month: Some("paid_month"),
        order: &["paid_month", "currency"],
    },
    Report {
        name: "receipts",
        about: "Which payments make up what was collected in a month",
        query: "SELECT paid_month, paid_at, paid_by, payment_reference, subscription_reference, period_index, currency, collected_minor, \
                collected_amount, refunded_minor, refunded_amount FROM finance_charges WHERE state = 'paid'",
        columns: &[
            text("paid_month"),
            time("paid_at"),
            text("paid_by"),
            text("payment_reference"),
            text("subscription_reference"),
            number("period_index"),
            text("currency"),
            number("collected_minor"),
            decimal("collected_amount"),
            number("refunded_minor"),
            decimal("refunded_amount"),
        ],
        month: Some("paid_month"),
        order: &["paid_at", "subscription_reference", "period_index"],
    },
    Report {
        name: "recovered",
        about: "What came by retries, that is, was paid after a decline",
        query: "SELECT paid_month, currency, COUNT(*) AS periods, SUM(collected_minor) AS collected_minor \
                FROM finance_charges WHERE recovered = 1 GROUP BY paid_month, currency",
        columns: &[text("paid_month"), text("currency"), number("periods"), sum("collected_minor")],
        month: Some("paid_month"),
        order: &["paid_month", "currency"],
    },
    Report {
        name: "late",
        about: "What was paid in a later month than it fell due in",
        query: "SELECT paid_month, due_month, subscription_reference, period_index, currency, amount_minor, amount, due_at, \
                paid_at, attempts, paid_by FROM finance_charges WHERE paid_month > due_month",
        columns: &[
            text("paid_month"),
            text("due_month"),
            text("subscription_reference"),
            number("period_index"),
            text("currency"),
            number("amount_minor"),
            decimal("amount"),
            time("due_at"),
            time("paid_at"),
            number("attempts"),
            text("paid_by"),
        ],
        month: Some("paid_month"),
        order: &["paid_at", "subscription_reference", "period_index"],
    },
    Report {
        name: "open",
        about: "What is still open, and since when: owed, and on its way",
        query: "SELECT due_at, due_month, subscription_reference, customer_reference, period_index, currency, amount_minor, amount, \
                state, reason, attempts, next_at \
                FROM finance_charges WHERE checkout = 0 AND state IN ('due', 'collecting', 'retrying', 'in_review')",
        columns: &[
            time("due_at"),
            text("due_month"),
            text("subscription_reference"),
            text("customer_reference"),
            number("period_index"),
            text("currency"),
            number("amount_minor"),
            decimal("amount"),
            text("state"),
            text("reason"),
            number("attempts"),
            time("next_at"),
        ],
        month: Some("due_month"),
        order: &["due_at", "subscription_reference", "period_index"],
    },
    Report {
        name: "unanswered",
        about: "Which payments to look for in the gateway's dashboard: their outcome is not known",
        query: "SELECT due_at, due_month, subscription_reference, period_index, currency, amount_minor, amount, last_attempt_state, \
                payment_reference, payment_id, status, request_id, first_seen_at, next_at FROM finance_charges \
                LEFT JOIN (SELECT charge_id AS of_charge, attempt, payment_id, status, request_id, first_seen_at \
                FROM finance_payments) p \
                ON of_charge = charge_id AND attempt = attempts \
                WHERE last_attempt_state IN ('sending', 'pending', 'unknown')",
        columns: &[
            time("due_at"),
            text("due_month"),
            text("subscription_reference"),
            number("period_index"),
            text("currency"),
            number("amount_minor"),
            decimal("amount"),
            text("last_attempt_state"),
            text("payment_reference"),
            text("payment_id"),
            text("status"),
            text("request_id"),
            time("first_seen_at"),
            time("next_at"),
        ],
        month: Some("due_month"),
        order: &["due_at", "subscription_reference", "period_index"],
    },
    Report {
        name: "failed",
        about: "Which payments failed in a month, and why",
        query: "SELECT first_seen_month, currency, status, decline_class, response_code, COUNT(*) AS payments, \
                SUM(amount_minor) AS amount_minor FROM finance_payments \
                WHERE captured_minor = 0 AND (decline_class IS NOT NULL OR status IN ('Declined', 'Canceled', 'Expired')) \
                GROUP BY first_seen_month, currency, status, decline_class, response_code",
        columns: &[
            text("first_seen_month"),
            text("currency"),
            text("status"),
            text("decline_class"),
            text("response_code"),
            number("payments"),
            sum("amount_minor"),
        ],
        month: Some("first_seen_month"),
        order: &["first_seen_month", "currency", "status", "decline_class", "response_code"],
    },
    Report {
        name: "unpaid",
        about: "Which periods are not paid, and why",
        query: "SELECT subscription_reference, period_index, due_at, due_month, currency, amount_minor, amount, state, reason, \
                attempts, last_decline_code, last_decline_class, next_at, open_reviews \
                FROM finance_charges WHERE checkout = 0 AND state <> 'paid'",
        columns: &[
            text("subscription_reference"),
            number("period_index"),
            time("due_at"),
            text("due_month"),
            text("currency"),
            number("amount_minor"),
            decimal("amount"),
            text("state"),
            text("reason"),
            number("attempts"),
            text("last_decline_code"),
            text("last_decline_class"),
            time("next_at"),
            number("open_reviews"),
        ],
        month: Some("due_month"),
        order: &["subscription_reference", "period_index"],
    },
    Report {
        name: "chase",
        about: "Whom to chase: the customers whose periods are being retried, or were given up",
        query: "SELECT customer_reference, subscription_reference, period_index, due_at, due_month, currency, amount_minor, amount, \
                state, reason, last_decline_code, next_at \
                FROM finance_charges WHERE checkout = 0 AND state IN ('retrying', 'uncollectible')",
        columns: &[
            text("customer_reference"),
            text("subscription_reference"),
            number("period_index"),
            time("due_at"),
            text("due_month"),
            text("currency"),
            number("amount_minor"),
            decimal("amount"),
            text("state"),
            text("reason"),
            text("last_decline_code"),
            time("next_at"),
        ],
        month: Some("due_month"),
        order: &["customer_reference", "due_at", "subscription_reference", "period_index"],
    },
    Report {
        name: "lost",
        about: "What was owed and given up, and why",
        query: "SELECT due_month, currency, reason, COUNT(*) AS periods, SUM(amount_minor) AS amount_minor \
                FROM finance_charges WHERE checkout = 0 AND state = 'uncollectible' GROUP BY due_month, currency, reason",
        columns: &[text("due_month"), text("currency"), text("reason"), number("periods"), sum("amount_minor")],
        month: Some("due_month"),
        order: &["due_month", "currency", "reason"],
    },
    Report {
        name: "left",
        about: "Who left in a month, why, and what they had paid",
        query: "SELECT ended_at, ended_month, subscription_reference, customer_reference, plan, state, cancel_reason, paid_periods, \
                currency, collected_minor, collected_amount, open_minor, open_amount \
                FROM finance_subscriptions WHERE ended_at IS NOT NULL",
        columns: &[
            time("ended_at"),
            text("ended_month"),
            text("subscription_reference"),
            text("customer_reference"),
            text("plan"),
            text("state"),
            text("cancel_reason"),
            number("paid_periods"),
            text("currency"),
            number("collected_minor"),
            decimal("collected_amount"),
            number("open_minor"),
            decimal("open_amount"),
        ],
        month: Some("ended_month"),
        order: &["ended_at", "subscription_reference"],
    },
    Report {
        name: "refunded",
        about: "Which payments were given back, whole or in part; by the month of the payment",
        query: "SELECT first_seen_month, payment_id, subscription_reference, period_index, currency, captured_minor, \
                captured_amount, refunded_minor, refunded_amount, status, status_at \
                FROM finance_payments WHERE refunded_minor > 0",
        columns: &[
            text("first_seen_month"),
            text("payment_id"),
            text("subscription_reference"),
            number("period_index"),
            text("currency"),
            number("captured_minor"),
            decimal("captured_amount"),
            number("refunded_minor"),
            decimal("refunded_amount"),
            text("status"),
            time("status_at"),
        ],
        month: Some("first_seen_month"),
        order: &["status_at", "payment_id"],
    },
    Report {
        name: "strangers",
        about: "Which payments belong to no charge",
        query: "SELECT first_seen_at, first_seen_month, payment_id, payment_reference, currency, captured_minor, captured_amount, status \
                FROM finance_payments WHERE charge_id IS NULL",
        columns: &[
            time("first_seen_at"),
            text("first_seen_month"),
            text("payment_id"),
            text("payment_reference"),
            text("currency"),
            number("captured_minor"),
            decimal("captured_amount"),
            text("status"),
        ],
        month: Some("first_seen_month"),
        order: &["first_seen_at", "payment_id"],
    },
    Report {
        name: "flagged",
        about: "What a person must decide, the oldest first",
        query: "SELECT opened_at, opened_month, review_id, reason, subscription_reference, period_index, currency, amount_minor, \
                amount, suggestion FROM finance_reviews",
        columns: &[
            time("opened_at"),
            text("opened_month"),
            text("review_id"),
            text("reason"),
            text("subscription_reference"),
            number("period_index"),
            text("currency"),
            number("amount_minor"),
            decimal("amount"),
            text("suggestion"),
        ],
        month: Some("opened_month"),
        order: &["opened_at", "review_id"],
    },
];
