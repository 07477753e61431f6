//! What the service manager is told. Without `NOTIFY_SOCKET` every call does nothing, so the daemon runs the same in a terminal.
//!
//! The socket blocks while the manager is busy, so these are called from one task that has nothing else to do.

use std::time::Duration;

use sd_notify::NotifyState;

/// Starting is over: configuration read, lock held, first connection attempted.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] must follow.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        // Managers from version 253 on want the time beside it; older ones ignore it.
        Ok(time) => tell(&[NotifyState::Reloading, time]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Stopping has begun: nothing new is sent, answers under way are awaited.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub fn status(text: &str) {
    // A line break would begin another message to the manager.
    let line = text.replace(char::is_control, " ");
    tell(&[NotifyState::Status(&line)]);
}

/// Every loop came round: the watchdog may wait again.
pub fn watchdog() {
    tell(&[NotifyState::Watchdog]);
}

/// How long the manager waits for [`watchdog`] before it kills the daemon; none where it does not watch.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// A message that cannot be delivered is no reason to stop billing.
fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(error = %error, "the service manager could not be told the daemon's state");
    }
}
