//! Slots in Redis: which requests are under way, over all replicas.
//!
//! A concurrency of an owner is a sorted set of the slots that are held, each until its lease ends. A
//! slot is taken in the same script call as everything else that a request is charged, all or nothing. A
//! replica renews the leases of its requests while it lives; what a killed one held is free once its
//! leases have run out. A slot that Redis has lost is held again with the next renewal.

use std::{sync::Arc, time::Duration};

use keygate::{key::KeyId, plan::Limit, port::Charge, record::ConsumerId};

use super::part::owner;
use crate::{fault::Fault, layout::Layout};

const NUMBER: usize = 7;

/// The sets a charge wants a slot of, and the last argument of the script that takes it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) sets: Arc<[String]>,
    pub(super) packed: Vec<u8>,
}

/// What the script says of the sets.
#[derive(Debug)]
pub(super) struct Found {
    /// How many slots each holds now.
    pub(super) held: Vec<u64>,
    /// Whether there was one in each.
    pub(super) free: bool,
    pub(super) taken: bool,
}

impl Wanted {
    /// `None` if none of the limits counts requests that are under way.
    pub(super) fn of(charge: &Charge<'_>, layout: &Layout, lease: Duration) -> Option<Self> {
        let mut counting = charge.limits.iter().filter(|limit| limit.is_concurrency()).peekable();
        counting.peek()?;
        let sets = sets(charge.consumer, charge.key, charge.limits, layout);
        // Nobody who names no slot could give it back.
        let slot = charge.slot.filter(|_| charge.cost > 0);
        let mut packed =
            vec![u8::try_from(sets.len()).unwrap_or(u8::MAX), u8::from(slot.is_some())];
        number(&mut packed, u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        packed.extend_from_slice(&slot.map_or([0; 16], |slot| *slot.as_bytes()));
        counting.for_each(|limit| number(&mut packed, limit.rule().capacity()));
        Some(Self { sets, packed })
    }
}

/// The sets of slots among these limits.
pub(super) fn sets(
    consumer: &ConsumerId,
    key: KeyId,
    limits: &[Limit],
    layout: &Layout,
) -> Arc<[String]> {
    let counting = limits.iter().filter(|limit| limit.is_concurrency());
    let set = |limit: &Limit| layout.slots(owner(consumer, key, limit.partition()), limit.name());
    counting.map(set).collect()
}

impl Found {
    /// What a reply says of the sets, if any were asked for, and the rest of it.
    pub(super) fn before<'r>(
        reply: &'r [u8],
        wanted: Option<&Wanted>,
    ) -> Result<(Option<Self>, &'r [u8]), Fault> {
        if wanted.is_none() {
            return Ok((None, reply));
        }
        let (found, rest) = Self::parse(reply)
            .ok_or_else(|| Fault::Foreign("a reply that is not our script's".into()))?;
        Ok((Some(found), rest))
    }

    fn parse(reply: &[u8]) -> Option<(Self, &[u8])> {
        let (&[count, state], rest) = reply.split_first_chunk::<2>()?;
        let (held, rest) = rest.split_at_checked(NUMBER.checked_mul(usize::from(count))?)?;
        let held = held
            .chunks_exact(NUMBER)
            .map(|digits| digits.iter().fold(0, |number, digit| (number << 8) | u64::from(*digit)));
        Some((Self { held: held.collect(), free: state > 0, taken: state == 2 }, rest))
    }
}

fn number(into: &mut Vec<u8>, value: u64) {
    let [_, digits @ ..] = value.min(keygate::limit::MAX_EXACT).to_be_bytes();
    into.extend_from_slice(&digits);
}
