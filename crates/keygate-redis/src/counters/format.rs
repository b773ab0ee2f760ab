//! How a charge, a stored value and a reply are laid out: packed integers, big-endian, of seven bytes
//! unless said otherwise.
//!
//! ```text
//! request   cost · epoch · last · count (1) · bytes of names (2) · names · rules · recalled
//!   rule      pace · unit · capacity · turn
//!   recalled  at · level                               only when the store asked for it
//! value     version (1) · last · epoch · expiry (6) · reset · bytes of names (2) · names · counters
//!   counter   at · level · unit · expiry (6)
//! reply     values, if they were charged now; else verdict (1) · now · values, or what is wanted
//! names     each `r` (rate) or `q` (quota), the limit's name, NUL
//! ```
//!
//! - A *rate* has `pace / unit` units flowing back a microsecond, `capacity` is `burst * unit`, and a
//!   level counts in parts of a unit. A *quota* has pace 0, its window begins at `unit` and ends at
//!   `turn`, and a level counts in units. All instants are microseconds since the Unix epoch, but
//!   expiries, which are milliseconds.
//! - `epoch` tells one life of a value from the next: it is the instant at which the value was made, or
//!   mended after Redis had lost something. `last` is the instant of its last charge. Whoever has seen
//!   more than Redis holds finds out by these two, and is then asked to recall what it has seen.
//! - `reset` is the epoch an administrator's reset began: what was seen before is void.

use keygate::{
    clock::Timestamp,
    limit::{MAX_EXACT, Rule, State},
    period::Window,
    plan::Limit,
};

use crate::fault::Fault;

const HEAD: usize = 30;
const COUNTER: usize = 27;
const NUMBER: usize = 7;

/// A limit, the instant whose calendar window is meant, and with them the rule as it is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) limit: &'a Limit,
    rule: SentRule,
}

#[derive(Clone, Copy, Debug)]
struct SentRule {
    kind: u8,
    pace: u64,
    unit: u64,
    capacity: u64,
    turn: u64,
}

impl<'a> Asked<'a> {
    /// # Errors
    /// If the rule is of a kind that is not counted here.
    pub(super) fn new(limit: &'a Limit, at: Timestamp) -> Result<Self, Fault> {
        let rule = match limit.rule() {
            Rule::Rate(rate) => {
                let (pace, unit) = rate.pace();
                let capacity = rate.burst().saturating_mul(unit);
                SentRule { kind: b'r', pace, unit, capacity, turn: 0 }
            }
            Rule::Quota(quota) => {
                let window: Window = quota.period().window(at);
                let (unit, turn) = (window.start().micros(), window.end().micros());
                SentRule { kind: b'q', pace: 0, unit, capacity: quota.amount(), turn }
            }
            other => return Err(Fault::Foreign(format!("{other:?} cannot be counted in Redis"))),
        };
        Ok(Self { limit, rule })
    }

    /// What was used, for the arithmetic of the core.
    fn state(&self, counter: &Counter) -> State {
        let at = Timestamp::from_micros(counter.at);
        match self.rule.kind {
            b'r' => {
                let unit = self.rule.unit.max(1);
                State { at, used: counter.level / unit, part: counter.level % unit }
            }
            _ => State { at, used: counter.level, part: 0 },
        }
    }
}

/// A charge at one owner, as the script takes it. `seen` is the owner's value as last seen; it is
/// recalled in full if the store asked for that.
pub(super) fn request(
    cost: u64,
    asked: &[Asked<'_>],
    seen: Option<&Value<'_>>,
    recall: bool,
) -> Vec<u8> {
    let mut names = Vec::with_capacity(16 * asked.len());
    for Asked { limit, rule } in asked {
        names.push(rule.kind);
        names.extend_from_slice(limit.name().as_str().as_bytes());
        names.push(0);
    }
    let mut request = Vec::with_capacity(24 + names.len() + (4 + 2) * NUMBER * asked.len());
    number(&mut request, cost);
    number(&mut request, seen.map_or(0, |seen| seen.epoch));
    number(&mut request, seen.map_or(0, |seen| seen.last));
    request.push(u8::try_from(asked.len()).unwrap_or(u8::MAX));
    request.extend_from_slice(&u16::try_from(names.len()).unwrap_or(u16::MAX).to_be_bytes());
    request.extend_from_slice(&names);
    for Asked { rule, .. } in asked {
        for field in [rule.pace, rule.unit, rule.capacity, rule.turn] {
            number(&mut request, field);
        }
    }
    if let Some(seen) = seen.filter(|_| recall) {
        for asked in asked {
            let counter = seen.counter(asked).unwrap_or_default();
            number(&mut request, counter.at);
            number(&mut request, counter.level);
        }
    }
    request
}

fn number(into: &mut Vec<u8>, value: u64) {
    let [_, digits @ ..] = value.min(MAX_EXACT).to_be_bytes();
    into.extend_from_slice(&digits);
}

/// What the script answered.
#[derive(Debug)]
pub(super) struct Reply<'r> {
    /// When it decided, by the clock of Redis.
    pub(super) now: Timestamp,
    pub(super) verdict: Verdict<'r>,
}

#[derive(Debug)]
pub(super) enum Verdict<'r> {
    /// It is decided, and the values of the owners follow; `charged` unless it did not fit or cost
    /// nothing.
    Decided { charged: bool, values: &'r [u8] },
    /// Less is held than was seen: recall it.
    Behind,
    /// The window of a quota is not that of the instant it is counted at.
    Window { owner: usize, limit: usize, at: Timestamp },
}

impl<'r> Reply<'r> {
    pub(super) fn read(bytes: &'r [u8]) -> Result<Self, Fault> {
        Self::parse(bytes).ok_or_else(|| Fault::Foreign("a reply that is not our script's".into()))
    }

    fn parse(bytes: &'r [u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        let (kind, now) = (rest.byte()?, Timestamp::from_micros(rest.number()?));
        let verdict = match kind {
            0 | 4 => Verdict::Decided { charged: kind == 4, values: rest.0 },
            // A value begins with its version, 1, and the instant of its last charge: now.
            1 => Verdict::Decided { charged: true, values: bytes },
            2 => Verdict::Behind,
            3 => Verdict::Window {
                owner: usize::from(rest.byte()?).checked_sub(1)?,
                limit: usize::from(rest.byte()?).checked_sub(1)?,
                at: Timestamp::from_micros(rest.number()?),
            },
            _ => return None,
        };
        Some(Self { now, verdict })
    }
}

/// The value of one owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'v> {
    pub(super) bytes: &'v [u8],
    pub(super) epoch: u64,
    pub(super) last: u64,
    /// Milliseconds since the Unix epoch.
    pub(super) expiry: u64,
    names: &'v [u8],
    counters: &'v [u8],
}

/// What is stored for one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counter {
    at: u64,
    level: u64,
    unit: u64,
}

impl<'v> Value<'v> {
    /// The value at the beginning of `bytes`, and what follows it.
    pub(super) fn read(bytes: &'v [u8]) -> Result<(Self, &'v [u8]), Fault> {
        Self::parse(bytes).ok_or_else(|| Fault::Foreign("a value that is not our script's".into()))
    }

    fn parse(bytes: &'v [u8]) -> Option<(Self, &'v [u8])> {
        let mut rest = Reader(bytes);
        let _version = rest.byte().filter(|version| *version == 1)?;
        let (last, epoch) = (rest.number()?, rest.number()?);
        let (expiry, _reset) = (rest.uint(6)?, rest.number()?);
        let name_bytes = usize::try_from(rest.uint(2)?).ok()?;
        let names = rest.take(name_bytes)?;
        let counters = rest.take(COUNTER * names.iter().filter(|byte| **byte == 0).count())?;
        let (own, after) = bytes.split_at_checked(HEAD + names.len() + counters.len())?;
        Some((Self { bytes: own, epoch, last, expiry, names, counters }, after))
    }

    /// What was used of each of the limits asked for, which the script lists first and in order.
    pub(super) fn states(&self, asked: &[Asked<'_>]) -> Result<Vec<State>, Fault> {
        let counters = self.counters.chunks_exact(COUNTER).map(Counter::read);
        let states =
            asked.iter().zip(counters).map(|(asked, counter)| Some(asked.state(&counter?)));
        match states.collect::<Option<Vec<_>>>() {
            Some(states) if states.len() == asked.len() => Ok(states),
            _ => Err(Fault::Foreign("a reply without every limit".into())),
        }
    }

    /// What was seen of a limit, if it was counted in the same units or the same window.
    fn counter(&self, asked: &Asked<'_>) -> Option<Counter> {
        let is_its = |name: &[u8]| {
            name.split_first().is_some_and(|(kind, name)| {
                *kind == asked.rule.kind && name == asked.limit.name().as_str().as_bytes()
            })
        };
        let mut names = self.names.split(|byte| *byte == 0);
        let place = names.position(is_its)?;
        let counter = self.counters.chunks_exact(COUNTER).nth(place).and_then(Counter::read)?;
        (counter.unit == asked.rule.unit).then_some(counter)
    }
}

impl Counter {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        Some(Self { at: rest.number()?, level: rest.number()?, unit: rest.number()? })
    }
}

/// Reads from the front.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, bytes: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u64> {
        self.uint(NUMBER)
    }

    fn uint(&mut self, bytes: usize) -> Option<u64> {
        let digits = self.take(bytes)?.iter();
        Some(digits.fold(0, |number, digit| (number << 8) | u64::from(*digit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_are_cut_short_are_faults() {
        let value = [&[1][..], &[0; 27], &[0, 3], b"qa\0", &[0; COUNTER]].concat();
        let reply = [&[1][..], &[0; 7], &value].concat();
        for end in 0..8 {
            assert!(Reply::read(&reply[..end]).is_err());
        }
        assert!(Reply::read(&[9; 8]).is_err());
        assert!(Reply::read(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        for end in 0..value.len() {
            assert!(Value::read(&value[..end]).is_err(), "{end}");
        }
        let (read, rest) = Value::read(&value).unwrap();
        assert!(rest.is_empty());
        assert_eq!(read.counters.len(), COUNTER);
    }
}
