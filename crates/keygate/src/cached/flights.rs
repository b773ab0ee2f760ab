use futures_util::{
    FutureExt,
    future::{Shared, WeakShared},
};
use hashbrown::HashMap;

use crate::{
    clock::Timestamp,
    key::KeyDigest,
    port::{BoxFuture, Found},
};

/// One call of the store, for everybody who waits for it. Whoever is polled drives it, so that it
/// goes on when the request that began it goes away, and ends when all of them do.
pub(super) type Flight = Shared<BoxFuture<'static, Found>>;

/// The calls under way. One that is not listed here any more may not leave anything behind.
#[derive(Default)]
pub(super) struct Flights {
    under_way: HashMap<KeyDigest, Listed>,
    departed: u64,
}

struct Listed {
    number: u64,
    began: Timestamp,
    /// Not kept alive by this list: nobody would drive it.
    flight: WeakShared<BoxFuture<'static, Found>>,
}

impl Flights {
    /// The call under way for a digest, if it began at an instant that will do.
    pub(super) fn join(
        &self,
        digest: &KeyDigest,
        will_do: impl FnOnce(Timestamp) -> bool,
    ) -> Option<Flight> {
        let listed = self.under_way.get(digest)?;
        // In this order: dropping the last handle under the lock would wait for the lock.
        if will_do(listed.began) { listed.flight.upgrade() } else { None }
    }

    /// Lists a new call, in place of an older one. The call is made with its number.
    pub(super) fn depart(
        &mut self,
        digest: KeyDigest,
        began: Timestamp,
        call: impl FnOnce(u64) -> BoxFuture<'static, Found>,
    ) -> Flight {
        let number = self.departed;
        self.departed = number.wrapping_add(1);
        let flight = call(number).shared();
        if let Some(weak) = flight.downgrade() {
            self.under_way.insert(digest, Listed { number, began, flight: weak });
        }
        flight
    }

    /// Takes a call off the list. Whether it was there, and may leave its answer behind.
    pub(super) fn land(&mut self, digest: &KeyDigest, number: u64) -> bool {
        let listed = self.under_way.get(digest).is_some_and(|listed| listed.number == number);
        listed && self.under_way.remove(digest).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn forget(&mut self, digest: &KeyDigest) {
        self.under_way.remove(digest);
    }

    pub(super) fn forget_all(&mut self) {
        self.under_way.clear();
    }
}
