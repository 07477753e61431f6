//! Why a person must look at something, and what to do first.

use crate::domain::word::words;

words! {
    /// Why a review case was opened.
    ReviewReason is a "reason for review" {
        /// The gateway refused the request itself.
        Rejected = "rejected",
        /// A payment's outcome has been open for too long.
        PendingTooLong = "pending_too_long",
        /// The gateway does not know a payment whose id it gave us.
        NotFound = "not_found",
        /// The gateway's payment differs from what was asked for.
        Mismatch = "mismatch",
        /// Nothing proves whether an attempt was charged, and its key is over.
        Unresolved = "unresolved",
        /// A period has more than one payment that took money, or may.
        Double = "double",
        /// Money came for a period that was no longer owed: void, or of a subscription that was canceled or begun anew before it was paid.
        CapturedAfterVoid = "captured_after_void",
        /// A first payment was captured, and its source is not known.
        SourceUnknown = "source_unknown",
        /// The wallet's authorisation is gone.
        AuthorisationGone = "authorisation_gone",
        /// A decline says that our own set-up is wrong.
        Configuration = "configuration",
        /// The catch-up rule held periods back.
        CatchUpHeld = "catch_up_held",
        /// The amount is above the limit of one charge.
        OverLimit = "over_limit",
        /// The stored request is no longer the one that was sent.
        BodyChanged = "body_changed",
        /// An outcome contradicts the books.
        Contradiction = "contradiction",
        /// The books may not be the latest: nothing is sent until an operator has acknowledged it.
        Hold = "hold",
        /// A day's charges went beyond its plan: collecting is stopped.
        Brake = "brake",
        /// The calendar has no such date or zone.
        Calendar = "calendar",
        /// A row of the books holds what this version of dues cannot read.
        Unreadable = "unreadable",
    }
}

words! {
    /// How a person closes a review case.
    Resolution is a "way to resolve a case" {
        /// The charge is tried again.
        Retry = "retry",
        /// The charge is not owed any more.
        Void = "void",
        /// The gateway has no payment of the unknown attempt.
        NotCharged = "not-charged",
        /// The gateway has one.
        Charged = "charged",
        /// Held periods are billed.
        Bill = "bill",
        /// Held periods are not billed.
        Skip = "skip",
        /// It was seen to, and nothing is to be changed in the books.
        Dismiss = "dismiss",
    }
}

impl ReviewReason {
    /// How a case of this reason can be resolved; none where it closes by itself, or by a command of its own.
    pub const fn resolutions(self) -> &'static [Resolution] {
        use Resolution as R;
        match self {
            ReviewReason::Rejected
            | ReviewReason::Configuration
            | ReviewReason::OverLimit
            | ReviewReason::BodyChanged => &[R::Retry, R::Void],
            ReviewReason::Contradiction => &[R::Retry, R::Void, R::Dismiss],
            ReviewReason::Unresolved | ReviewReason::NotFound => &[R::NotCharged, R::Charged],
            ReviewReason::Mismatch => &[R::NotCharged, R::Charged, R::Dismiss],
            ReviewReason::CatchUpHeld => &[R::Bill, R::Skip],
            ReviewReason::Double
            | ReviewReason::CapturedAfterVoid
            | ReviewReason::SourceUnknown
            | ReviewReason::AuthorisationGone
            | ReviewReason::Unreadable => &[R::Dismiss],
            ReviewReason::Calendar => &[R::Retry, R::Void, R::Dismiss],
            ReviewReason::PendingTooLong | ReviewReason::Hold | ReviewReason::Brake => &[],
        }
    }

    /// The same while a subscription waits for the first payment that the case is about: that is not owed apart from its subscription,
    /// and what was refused is not sent again. Where none is left, canceling the subscription closes the case.
    pub fn resolutions_of_a_first_payment(self) -> Vec<Resolution> {
        let sent_again = !matches!(self, ReviewReason::Rejected | ReviewReason::Configuration);
        let fits = |it: &Resolution| match it {
            Resolution::Void => false,
            Resolution::Retry => sent_again,
            Resolution::NotCharged
            | Resolution::Charged
            | Resolution::Bill
            | Resolution::Skip
            | Resolution::Dismiss => true,
        };
        self.resolutions().iter().copied().filter(fits).collect()
    }

    /// Whether it keeps a subscription's periods from being opened.
    pub const fn is_about_the_schedule(self) -> bool {
        matches!(self, ReviewReason::Calendar | ReviewReason::Unreadable)
    }

    /// What to do first, for the person who opens the case.
    pub const fn next_step(self) -> &'static str {
        match self {
            ReviewReason::Rejected => {
                "read the error codes, correct the plan or the gateway's set-up; nothing was charged. A first payment is not sent again: \
                 `dues subscription cancel` ends it, then begin anew with another reference"
            }
            ReviewReason::PendingTooLong => {
                "ask the gateway's support with the payment id; dues goes on looking and never charges again meanwhile"
            }
            ReviewReason::NotFound => {
                "check that gateway.url and the key belong to the account of this payment; it is not taken for unpaid"
            }
            ReviewReason::Mismatch => {
                "compare the payment in the gateway's dashboard with the charge; nothing more is sent for this period"
            }
            ReviewReason::Unresolved => {
                "search the gateway's dashboard for the reference; nothing more is sent for this period"
            }
            ReviewReason::Double => "refund the payment that does not count",
            ReviewReason::CapturedAfterVoid => "refund the payment, or agree with the customer that it stands",
            ReviewReason::SourceUnknown => {
                "ask the customer to approve anew: the payment is captured, but no source is known to charge later"
            }
            ReviewReason::AuthorisationGone => "ask the customer for a new authorisation",
            ReviewReason::Configuration => {
                "correct the gateway's set-up; the customer is not to blame and no dunning step was spent"
            }
            ReviewReason::CatchUpHeld => "decide whether the held periods are billed",
            ReviewReason::OverLimit => "check the plan's price, or raise limits.largest_charge_minor",
            ReviewReason::BodyChanged => "restore the customer's row from a backup; nothing was sent again",
            ReviewReason::Contradiction => {
                "compare the payment at the gateway with the charge and its journal; nothing was changed"
            }
            ReviewReason::Hold => "read `dues ledger show`, then `dues ledger acknowledge`",
            ReviewReason::Brake => {
                "find out why more is charged than was planned; where it is right, `dues resume-collecting`"
            }
            ReviewReason::Calendar => "check the subscription's anchor and zone, and that tzdata is installed",
            ReviewReason::Unreadable => {
                "mend the row that the evidence names, or run the newer dues that wrote it; meanwhile dues charges nothing for it \
                 and tries again by itself, at the latest after polls.in_review"
            }
        }
    }
}
