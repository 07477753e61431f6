//! What the sandbox is told once, at its start. Who gets which outcome is not here but in the script.

use std::time::Duration;

use secrecy::SecretString;

/// The sandbox's settings. Zero durations are allowed and mean "at once".
#[derive(Debug, Clone)]
pub struct Settings {
    /// Scheme, host and port under which customers reach this sandbox, without a path: redirect links start with it.
    pub public_url: String,
    /// The one secret key that `Authorization: Bearer …` must carry.
    pub secret_key: SecretString,
    /// What `Authorization: Bearer …` must carry on every path under `/sandbox/`; none: whoever reaches it may control it, which is
    /// right on loopback only.
    pub control_token: Option<SecretString>,
    /// How long an idempotency key is remembered, from its first successful use. Checkout.com: 24 h, older sandboxes 120 s.
    pub key_life: Duration,
    /// From the request of a later payment, or of a refund, until it settles, where no rule says otherwise.
    pub settle_after: Duration,
    /// How long a customer may take to approve a first payment before it is `Expired`.
    pub approval_life: Duration,
    /// The merchant that the customer's page names.
    pub merchant_name: String,
    /// Whether `GET /payments/{id}` shows `source.id`. The real one was never seen to, so a client must not rely on it.
    pub show_source_id_in_get: bool,
    /// Whether a source that was not made here counts as an active wallet, as after an import.
    pub accept_unknown_sources: bool,
    /// POST requests granted in any second; none: unlimited.
    pub writes_per_second: Option<u32>,
    /// GET requests granted in any second; none: unlimited.
    pub reads_per_second: Option<u32>,
    /// From the request until a look-up by reference finds the payment.
    pub lookup_lag: Duration,
    /// From the request until `GET /payments/{id}` finds the payment.
    pub read_lag: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            public_url: "http://127.0.0.1:8040".to_owned(),
            secret_key: SecretString::from("sk_sbox_simulated"),
            control_token: None,
            key_life: Duration::from_hours(24),
            settle_after: Duration::from_secs(30),
            approval_life: Duration::from_mins(30),
            merchant_name: "Simulated Merchant".to_owned(),
            show_source_id_in_get: false,
            accept_unknown_sources: true,
            writes_per_second: None,
            reads_per_second: None,
            lookup_lag: Duration::ZERO,
            read_lag: Duration::ZERO,
        }
    }
}
