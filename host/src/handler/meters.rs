//! What the parts of an event take. A sandbox serves one event at a time, so
//! what has been added up when it ends is that event's, and whatever went on
//! from the one before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::{self, Measured};

/// The parts.
#[derive(Default)]
pub(super) struct Meters {
    pub(super) release: Meter,
    pub(super) connect: Meter,
    pub(super) plugins: Meter,
    pub(super) database: Meter,
    pub(super) secrets: Meter,
    pub(super) fuel: Counter,
    pub(super) releases_loaded: Counter,
    pub(super) releases_changed: Counter,
    pub(super) releases_kept: Counter,
}

/// Adds up time.
#[derive(Default)]
pub(super) struct Meter(AtomicU64);

/// Adds up things.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

/// Runs until it is dropped: what is cut short took its time too.
#[must_use]
pub(super) struct Timer<'a> {
    meter: &'a Meter,
    since: Instant,
}

impl Meter {
    /// Until the timer is dropped.
    pub(super) fn start(&self) -> Timer<'_> {
        Timer {
            meter: self,
            since: Instant::now(),
        }
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let nanoseconds = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // At least one: nothing is what didn't take place.
        self.meter
            .0
            .fetch_add(nanoseconds.max(1), Ordering::Relaxed);
    }
}

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}

impl Meters {
    /// What has been added up, which begins anew.
    pub(super) fn take(&self, measured: &mut Measured) {
        for (metric, Meter(nanoseconds)) in [
            (metrics::RELEASE_TIME, &self.release),
            (metrics::CONNECT_TIME, &self.connect),
            (metrics::PLUGIN_TIME, &self.plugins),
            (metrics::DATABASE_TIME, &self.database),
            (metrics::SECRET_TIME, &self.secrets),
        ] {
            match nanoseconds.swap(0, Ordering::Relaxed) {
                0 => {}
                nanoseconds => measured.time(metric, Duration::from_nanos(nanoseconds)),
            }
        }
        for (metric, Counter(count)) in [
            (metrics::PLUGIN_FUEL, &self.fuel),
            (metrics::RELEASE_LOADED, &self.releases_loaded),
            (metrics::RELEASE_CHANGED, &self.releases_changed),
            (metrics::RELEASE_KEPT, &self.releases_kept),
        ] {
            match count.swap(0, Ordering::Relaxed) {
                0 => {}
                count => measured.count(metric, count),
            }
        }
    }
}
