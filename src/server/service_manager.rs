//! What systemd is told (sd_notify(3)): ready, reloading, stopping, and who goes on. Without NOTIFY_SOCKET nobody is told.

use sd_notify::NotifyState;

use super::note;

/// Weir serves, with this revision.
pub fn ready(revision: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("serving, {revision}"))]);
}

/// The control file is read; [`ready`] is to follow.
pub fn reloading() {
    // The time is what `Type=notify-reload` wants to see.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Requests under way are finished.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing requests under way")]);
}

/// Another process has taken over, and is the service from here on.
pub fn succeeded_by(process: u32) {
    tell(&[NotifyState::MainPid(process), NotifyState::Status("handed over")]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        note(&format!("the service manager cannot be told: {error}"));
    }
}
