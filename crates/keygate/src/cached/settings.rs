use std::time::Duration;

/// How much a [`CachedKeys`](super::CachedKeys) holds, and for how long.
///
/// ```
/// use std::time::Duration;
/// use keygate::cached::Settings;
///
/// let settings = Settings::default().records(1_000_000).max_age(Duration::from_secs(2));
/// assert_eq!(settings.if_unavailable, Duration::from_secs(300));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// How many records are held, about.
    pub records: usize,
    /// How many digests are held that the store does not know, about.
    pub unknown: usize,
    /// How long a record is answered without asking the store, since it was loaded or confirmed.
    pub max_age: Duration,
    /// The same for a digest that the store does not know: how long a key can be issued elsewhere
    /// and still be refused here.
    pub unknown_max_age: Duration,
    /// How much longer a record is answered while the store fails. Zero turns it off.
    pub if_unavailable: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            records: 100_000,
            unknown: 10_000,
            max_age: Duration::from_secs(5),
            unknown_max_age: Duration::from_secs(1),
            if_unavailable: Duration::from_secs(300),
        }
    }
}

impl Settings {
    /// How many records are held, about; 100,000 unless said otherwise. Fewer than two hold nothing.
    #[must_use]
    pub fn records(self, records: usize) -> Self {
        Self { records, ..self }
    }

    /// How many digests are held that the store does not know, about; 10,000 unless said otherwise.
    /// Fewer than two hold nothing.
    #[must_use]
    pub fn unknown(self, unknown: usize) -> Self {
        Self { unknown, ..self }
    }

    /// How long a record is answered without asking the store; five seconds unless said otherwise.
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age, ..self }
    }

    /// How long a digest stays unknown without asking the store; one second unless said otherwise.
    #[must_use]
    pub fn unknown_max_age(self, unknown_max_age: Duration) -> Self {
        Self { unknown_max_age, ..self }
    }

    /// How much longer a record is answered while the store fails; five minutes unless said
    /// otherwise. Zero turns it off.
    #[must_use]
    pub fn if_unavailable(self, if_unavailable: Duration) -> Self {
        Self { if_unavailable, ..self }
    }
}
