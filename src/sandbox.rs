//! A Checkout.com that runs here, for demos and tests: payments, look-ups, refunds, the wallet's page, and all that can go wrong.
//! It reads requests with its own readers, so that a mistake in the client cannot pass. What it leaves out: webhooks, cards,
//! OAuth. What a person or a test may do to it at run time is in `control`; what outlives a run, in `snapshot`. The core is synchronous and never sleeps; two doors lead to it, a transport in this process and a socket.

mod api;
mod books;
mod control;
mod exchange;
mod fields;
mod in_process;
mod keys;
mod ledger;
mod limit;
mod names;
mod order;
mod page;
mod payment;
mod replies;
mod script;
mod server;
mod settings;
mod snapshot;
mod state_file;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use books::{BookedPayment, Books, Summary, SummaryLine};
pub use exchange::{Answer, Fate, HttpRequest};
pub use keys::RuleBreaches;
pub use payment::Status;
pub use script::{Effect, Fault, On, Outcome, Rule, Script, ScriptError, When};
pub use server::ServeError;
pub use settings::Settings;
pub use snapshot::{Snapshot, SnapshotError};
pub use state_file::{StateFile, StateFileError};

use crate::clock::Clock;
use exchange::{Method, split_target};
use keys::Keys;
use ledger::{Ledger, REFUSED_BY_CUSTOMER};
use limit::SlidingSecond;
use names::Names;
use script::cast::Cast;

/// The simulated gateway. Cheap to clone; clones are one gateway.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    clock: Clock,
    seed: u64,
    run: u64,
    names: Names,
    state: Mutex<State>,
    /// Goes up whenever the state may have changed, and only after it has.
    changes: AtomicU64,
}

/// All that changes, behind one lock: a request is some microseconds of work.
#[derive(Debug)]
struct State {
    ledger: Ledger,
    keys: Keys,
    cast: Cast,
    writes: SlidingSecond,
    reads: SlidingSecond,
    unauthorised: bool,
    unknown_fields: BTreeMap<String, u64>,
}

impl Sandbox {
    /// A gateway without payments. Ids and dice are determined by `seed`.
    pub fn new(settings: Settings, script: Script, clock: Clock, seed: u64) -> Self {
        let nothing = (Ledger::default(), Keys::default(), BTreeMap::new());
        Sandbox::of_run(settings, script, clock, (seed, 0), nothing)
    }

    /// A gateway that goes on where another left off. The script's counts begin at nought; what was ever answered is answered
    /// again, and no id is given twice.
    pub fn resumed(settings: Settings, script: Script, clock: Clock, snapshot: Snapshot) -> Self {
        let Snapshot { seed, run, ledger, keys, unknown_fields } = snapshot;
        Sandbox::of_run(settings, script, clock, (seed, run + 1), (ledger, keys, unknown_fields))
    }

    fn of_run(
        settings: Settings,
        script: Script,
        clock: Clock,
        (seed, run): (u64, u64),
        (ledger, keys, unknown_fields): (Ledger, Keys, BTreeMap<String, u64>),
    ) -> Self {
        let state = State {
            ledger,
            keys,
            cast: Cast::of(script),
            writes: SlidingSecond::new(settings.writes_per_second),
            reads: SlidingSecond::new(settings.reads_per_second),
            unauthorised: false,
            unknown_fields,
        };
        let (names, state, changes) = (Names::of_run(seed, run), Mutex::new(state), AtomicU64::new(0));
        Sandbox(Arc::new(Inner { settings, clock, seed, run, names, state, changes }))
    }

    /// Answers one request, at once; the answer's fate says when, and whether, a door hands it on.
    pub fn handle(&self, request: HttpRequest<'_>) -> Answer {
        self.handle_spoilt(request, None)
    }

    /// The same, and where the API is asked, `fault` meets the request in place of what the script says.
    pub fn handle_spoilt(&self, request: HttpRequest<'_>, fault: Option<Fault>) -> Answer {
        let now = self.0.clock.now();
        let request_id = self.names().request_id();
        let (path, query) = split_target(request.path);
        let mut parts = [""; 4];
        let mut count = 0;
        for part in path.trim_matches('/').split('/') {
            let Some(place) = parts.get_mut(count) else { return Answer::empty(404).stamped(request_id, now) };
            *place = part;
            count += 1;
        }
        let answer = match (request.method, &parts[..count]) {
            (_, ["payments", rest @ ..]) => api::answer(self, &request, rest, query, &request_id, fault, now),
            (_, ["pay", id]) => page::answer(self, &request, id, now),
            (Method::Get, [""]) => page::returned(self, query, now),
            (_, ["sandbox", rest @ ..]) => control::answer(self, &request, rest),
            _ => Answer::empty(404),
        };
        if request.method == Method::Post {
            self.changed();
        }
        answer.stamped(request_id, now)
    }

    /// What the gateway really did.
    pub fn books(&self) -> Books {
        Books::of(&self.state(), self.0.clock.now())
    }

    /// Counts and sums of the books.
    pub fn summary(&self) -> Summary {
        Summary::of(&self.state(), self.0.clock.now())
    }

    /// Sends so far that a careful client never makes.
    pub fn rule_breaches(&self) -> RuleBreaches {
        self.state().keys.breaches.clone()
    }

    /// Every payment that bears `reference`, oldest first, whether a look-up would show it yet or not.
    pub fn payments_of(&self, reference: &str) -> Vec<BookedPayment> {
        let now = self.0.clock.now();
        let state = self.state();
        state.ledger.all_with_reference(reference).map(|payment| BookedPayment::of(payment, now)).collect()
    }

    /// The customer pays on the wallet's page. Says whether there was something to pay.
    pub fn approve(&self, payment_id: &str) -> bool {
        let approved = self.state().ledger.decide(payment_id, Outcome::Capture, self.0.clock.now());
        self.changed();
        approved
    }

    /// The customer declines on the wallet's page. Says whether there was something to decline.
    pub fn refuse(&self, payment_id: &str) -> bool {
        let outcome = Outcome::Decline(REFUSED_BY_CUSTOMER.to_owned());
        let refused = self.state().ledger.decide(payment_id, outcome, self.0.clock.now());
        self.changed();
        refused
    }

    /// The gateway thinks better of a payment that it declined, and takes the money now. Says whether it was declined.
    pub fn overturn(&self, payment_id: &str) -> bool {
        let overturned = self.state().ledger.overturn(payment_id, self.0.clock.now());
        self.changed();
        overturned
    }

    /// The customer unbinds the wallet: from now on every new charge on `source_id` is declined with 20101. Another code, or
    /// another instant, is a rule.
    pub fn revoke_source(&self, source_id: &str) {
        self.state().ledger.revoke(source_id, self.0.clock.now());
        self.changed();
    }

    /// Another script from now on; its counts begin at nought. Payments that exist keep their course.
    pub fn set_script(&self, script: Script) {
        self.state().cast = Cast::of(script);
    }

    /// Whether every API call is answered 401, as after a change of the secret key.
    pub fn set_unauthorised(&self, unauthorised: bool) {
        self.state().unauthorised = unauthorised;
    }

    /// Writes down all that a later run needs to answer as this one does. When this returns, the disk has it.
    ///
    /// # Errors
    /// [`StateFileError::Unwritten`]; the file then holds what it held before.
    pub fn save(&self, file: &StateFile) -> Result<(), StateFileError> {
        let document = snapshot::written(&self.state(), self.0.seed, self.0.run, self.0.clock.now());
        file.replace(&document)
    }

    /// The seed that determines its ids.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// A number that is another one whenever the state has changed.
    fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::SeqCst)
    }

    fn changed(&self) {
        self.0.changes.fetch_add(1, Ordering::SeqCst);
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn names(&self) -> &Names {
        &self.0.names
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the books half written in a way that matters more than losing the demo.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
