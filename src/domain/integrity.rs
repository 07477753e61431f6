//! The rules that the books never break: each with its word, how bad a breach is, and what a person does first.

use crate::domain::word::words;

words! {
    /// A rule of the books. All but the last two are rows of the view `finance_exceptions`.
    IntegrityRule is a "rule of the books" {
        /// Two payments of one period hold money.
        ChargedTwice = "charged_twice",
        /// A payment holds money, and its charge is not paid.
        CapturedNotPaid = "captured_not_paid",
        /// A charge is paid by a payment that did not take its amount.
        PaidNotCaptured = "paid_not_captured",
        /// A payment took another amount or currency than was owed.
        CapturedDiffers = "captured_differs",
        /// A charge was opened after its subscription had been canceled.
        OpenedAfterEnd = "opened_after_end",
        /// A charge of a canceled subscription is open, and nothing will close it.
        OpenAfterEnd = "open_after_end",
        /// A live attempt has no next look.
        AttemptWithoutNext = "attempt_without_next",
        /// A live attempt waits for more than a day.
        AttemptOverdue = "attempt_overdue",
        /// Nobody has looked for a day whether a period has begun.
        PeriodOverdue = "period_overdue",
        /// A dunning step waits for more than a day.
        RetryOverdue = "retry_overdue",
        /// A charge is to be collected, and nothing is at work on it.
        ChargeForgotten = "charge_forgotten",
        /// A charge waits for its next try, and none is to come.
        RetryForgotten = "retry_forgotten",
        /// A charge waits for a person, and nobody is asked.
        ReviewForgotten = "review_forgotten",
        /// Dunning goes on for a charge that is closed.
        DunningOfClosed = "dunning_of_closed",
        /// An attempt is to be sent on a source that is gone.
        RevokedToBeCharged = "revoked_to_be_charged",
        /// A subscription is billed, and its source cannot be charged.
        ActiveWithoutSource = "active_without_source",
        /// No line of the journal accounts for a paid charge.
        PaidWithoutJournal = "paid_without_journal",
        /// The journal says that a charge was paid, and it is not.
        PaidLost = "paid_lost",
        /// A period has no row.
        PeriodGap = "period_gap",
        /// Money was taken, and the attempt is still waited for.
        CapturedNotSettled = "captured_not_settled",
        /// What is to be sent is gone.
        RequestMissing = "request_missing",
        /// A lease is over for an hour, and its row still waits.
        LeaseOverdue = "lease_overdue",
        /// A source was charged after it had been revoked.
        SentAfterRevocation = "sent_after_revocation",
        /// A period began a day ago and has no row.
        PeriodForgotten = "period_forgotten",
        /// The payments' sum is not the journal's.
        SumsDiffer = "sums_differ",
        /// Nothing says whose books these are.
        LedgerUnknown = "ledger_unknown",
        /// Nothing is sent, and nobody is asked.
        StopUnasked = "stop_unasked",
        /// The config does not belong to these books.
        LedgerDiffers = "ledger_differs",
        /// The books know fewer sends than the file outside them.
        MarkBelowFile = "mark_below_file",
    }
}

words! {
    /// How bad a breach is.
    Severity is a "severity" {
        /// Money may be wrong: look now.
        Critical = "critical",
        /// Something does not go on by itself.
        Error = "error",
        /// Something is late, and may go on by itself.
        Warning = "warning",
    }
}

impl IntegrityRule {
    /// The rules that need more than the books to be checked.
    pub const OUTSIDE: &[IntegrityRule] = &[IntegrityRule::LedgerDiffers, IntegrityRule::MarkBelowFile];

    /// How bad a breach is.
    pub const fn severity(self) -> Severity {
        match self {
            IntegrityRule::ChargedTwice
            | IntegrityRule::CapturedNotPaid
            | IntegrityRule::PaidNotCaptured
            | IntegrityRule::CapturedDiffers
            | IntegrityRule::OpenedAfterEnd
            | IntegrityRule::RevokedToBeCharged
            | IntegrityRule::PaidLost
            | IntegrityRule::CapturedNotSettled
            | IntegrityRule::SentAfterRevocation
            | IntegrityRule::SumsDiffer
            | IntegrityRule::LedgerUnknown
            | IntegrityRule::LedgerDiffers
            | IntegrityRule::MarkBelowFile => Severity::Critical,
            IntegrityRule::OpenAfterEnd
            | IntegrityRule::AttemptWithoutNext
            | IntegrityRule::ChargeForgotten
            | IntegrityRule::RetryForgotten
            | IntegrityRule::ReviewForgotten
            | IntegrityRule::DunningOfClosed
            | IntegrityRule::ActiveWithoutSource
            | IntegrityRule::PaidWithoutJournal
            | IntegrityRule::PeriodGap
            | IntegrityRule::RequestMissing
            | IntegrityRule::PeriodForgotten
            | IntegrityRule::StopUnasked => Severity::Error,
            IntegrityRule::AttemptOverdue
            | IntegrityRule::PeriodOverdue
            | IntegrityRule::RetryOverdue
            | IntegrityRule::LeaseOverdue => Severity::Warning,
        }
    }

    /// What to do first, for the person who reads the breach.
    pub const fn next_step(self) -> &'static str {
        match self {
            IntegrityRule::ChargedTwice => "refund the payment in the row at the gateway, and tell the customer",
            IntegrityRule::CapturedNotPaid | IntegrityRule::CapturedNotSettled => {
                "compare with `dues verify --gateway`; restart the daemon, which looks at the payment again"
            }
            IntegrityRule::PaidNotCaptured | IntegrityRule::CapturedDiffers => {
                "compare the payment at the gateway with `dues charge show`, and refund or collect the difference"
            }
            IntegrityRule::OpenedAfterEnd => "refund what was taken since the subscription ended; it was not owed",
            IntegrityRule::OpenAfterEnd => "read `dues charge show`; nothing is sent for it any more",
            IntegrityRule::AttemptWithoutNext
            | IntegrityRule::ChargeForgotten
            | IntegrityRule::RetryForgotten
            | IntegrityRule::ReviewForgotten
            | IntegrityRule::DunningOfClosed
            | IntegrityRule::RequestMissing => {
                "no version of dues writes such a row: find out who else writes into the database, and restore the row"
            }
            IntegrityRule::AttemptOverdue | IntegrityRule::LeaseOverdue => {
                "read `dues status`: does a daemon run, and what keeps it from work?"
            }
            IntegrityRule::PeriodOverdue | IntegrityRule::PeriodForgotten => {
                "read `dues status` and the daemon's log: bill does not get to this subscription"
            }
            IntegrityRule::RetryOverdue => "read `dues status` and the daemon's log: dun does not get to this charge",
            IntegrityRule::RevokedToBeCharged => {
                "cancel the subscription with `dues subscription cancel`, or ask the customer for a new authorisation"
            }
            IntegrityRule::ActiveWithoutSource => {
                "ask the customer for a new authorisation, or cancel the subscription"
            }
            IntegrityRule::PaidWithoutJournal | IntegrityRule::PaidLost | IntegrityRule::SumsDiffer => {
                "find the period with `dues verify --gateway`; the books were written by another hand than dues"
            }
            IntegrityRule::PeriodGap => "read `dues subscription show`: the missing period is billed by nobody",
            IntegrityRule::SentAfterRevocation => "refund what it took: the customer had revoked the authorisation",
            IntegrityRule::LedgerUnknown => "restore the database from a backup; start no daemon on it as it is",
            IntegrityRule::StopUnasked => "read `dues ledger show` and `dues status`, then lift what is in the way",
            IntegrityRule::LedgerDiffers => {
                "use the config of these books; the daemon refuses to start with this one, so nothing is charged"
            }
            IntegrityRule::MarkBelowFile => {
                "these books were set back in time: start the daemon, which then holds, and read `dues ledger show`"
            }
        }
    }
}
