//! How a charge, a stored value and a reply are laid out: packed integers, big-endian, of seven bytes
//! unless said otherwise.
//!
//! ```text
//! request   since · stamp · epoch · seen · turn · keep (6) · cost · listed (1) · rates (1) · limits (1) · rules
//!           · list · recalled
//!   rules     (place (1) · pace · unit · capacity) for each rate · (place (1) · capacity) for each quota
//!   recalled  (at · level) for each limit              only when the store asked for it
//! value     stamp · epoch · expiry (6) · listed (1) · counters · reset · list
//!   counters  charges · (at · level) for each limit of the list
//! list      bytes of names (2) · names · (unit · flow) for each
//!   names     each `r` (rate) or `q` (quota), the limit's name, NUL
//! reply     the counters of each owner, if they were charged now; else verdict (1) · now · what it tells
//! ```
//!
//! - A *rate* has `pace / unit` units flowing back a microsecond, `capacity` is `burst * unit`, and a
//!   level counts in parts of a unit. A *quota*'s window begins at `unit` and ends at `flow`, and a level
//!   counts in units; for a rate `flow` is the pace. All instants are microseconds since the Unix epoch,
//!   but `keep` and expiries, which are milliseconds.
//! - A charge names its rates first. `since` and `turn` bound the instants that are in the windows of all
//!   its quotas, and `keep` is until when the last of them is to be kept.
//! - `stamp` is the version of the layout and a hash of the list, windows included, so it stands for the
//!   list. Whoever knows the stamp of a value, and how many limits are `listed`, says by `place` which of
//!   them are charged, and is told the counters alone. `place` counts the numbers of the value.
//! - `epoch` tells one life of a value from the next: it is the instant at which the value was made, or
//!   mended after Redis had lost something. `charges` counts in it: a charge of n is n charges, but 256 at
//!   most, and they are counted no further than 2^48. Whoever has `seen` more than Redis holds finds out by
//!   these two, and is then asked to recall what it has seen.
//! - `reset` is the epoch an administrator's reset began: what was seen before is void.

use keygate::{
    clock::Timestamp,
    limit::{MAX_EXACT, Rule, State},
    period::Window,
    plan::Limit,
};
use smallvec::SmallVec;

use super::seen::{Sight, View};
use crate::fault::Fault;

const VERSION: u64 = 1;
const HASH_BITS: u32 = 48;
const HEAD: usize = 51;
const NUMBER: usize = 7;

/// The place of the first counter in a value: after stamp, epoch, expiry and charges.
const FIRST_PLACE: u8 = 5;

/// The script reads no more counters of a value by their places; where there are more, each charge is read
/// in full.
pub(super) const MOST_LISTED: usize = 20;

/// How long a quota's counter is kept beyond its window: a clock may step back.
const SLACK_MILLIS: u64 = 300_000;

/// The usual plans have no more limits; more lie on the heap.
pub(super) type Few<T> = SmallVec<[T; 3]>;

/// A limit, and its rule as it is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) limit: &'a Limit,
    /// Where it stands in the charge.
    pub(super) place: usize,
    pub(super) rule: SentRule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SentRule {
    pub(super) kind: Kind,
    pub(super) unit: u64,
    pub(super) flow: u64,
    capacity: u64,
}

/// A limit as a value lists it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) kind: Kind,
    pub(super) name: Box<str>,
    pub(super) unit: u64,
    pub(super) flow: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Rate,
    Quota,
}

impl Kind {
    const fn letter(self) -> u8 {
        match self {
            Self::Rate => b'r',
            Self::Quota => b'q',
        }
    }

    const fn of(letter: u8) -> Option<Self> {
        match letter {
            b'r' => Some(Self::Rate),
            b'q' => Some(Self::Quota),
            _ => None,
        }
    }
}

/// What is stored for one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counter {
    pub(super) at: u64,
    pub(super) level: u64,
}

impl<'a> Asked<'a> {
    /// The rule at this instant, which picks the windows of quotas.
    ///
    /// # Errors
    /// If the rule is of a kind that is not counted here.
    pub(super) fn new(limit: &'a Limit, place: usize, at: Timestamp) -> Result<Self, Fault> {
        let rule = match limit.rule() {
            Rule::Rate(rate) => {
                let (pace, unit) = rate.pace();
                let capacity = rate.burst().saturating_mul(unit);
                SentRule { kind: Kind::Rate, unit, flow: pace, capacity }
            }
            Rule::Quota(quota) => {
                let window: Window = quota.period().window(at);
                let (unit, flow) = (window.start().micros(), window.end().micros());
                SentRule { kind: Kind::Quota, unit, flow, capacity: quota.amount() }
            }
            other => return Err(Fault::Foreign(format!("{other:?} cannot be counted in Redis"))),
        };
        Ok(Self { limit, place, rule })
    }

    /// What was used, for the arithmetic of the core.
    pub(super) fn state(&self, counter: Counter) -> State {
        let at = Timestamp::from_micros(counter.at);
        match self.rule.kind {
            Kind::Rate => {
                let unit = self.rule.unit.max(1);
                State { at, used: counter.level / unit, part: counter.level % unit }
            }
            Kind::Quota => State { at, used: counter.level, part: 0 },
        }
    }
}

/// A charge at one owner, as the script takes it; rates come first in `asked`. What was seen of each limit
/// is recalled if the store asked for that.
pub(super) fn request(
    cost: u64,
    asked: &[Asked<'_>],
    view: &View,
    recalled: &[Counter],
) -> Vec<u8> {
    let mut request = Vec::with_capacity(HEAD + 64 * asked.len());
    request.resize(HEAD, 0);
    for (Asked { rule, .. }, place) in asked.iter().zip(&view.places) {
        request.push(place.saturating_mul(2).saturating_add(FIRST_PLACE));
        if rule.kind == Kind::Rate {
            number(&mut request, rule.flow);
            number(&mut request, rule.unit);
        }
        number(&mut request, rule.capacity);
    }
    let rules = request.len();
    list(&mut request, asked);
    let stamp = view.stamp.unwrap_or_else(|| stamp(request.get(rules..).unwrap_or_default()));
    let head = head(cost, asked, view, stamp);
    if let Some(place) = request.first_chunk_mut() {
        *place = head;
    }
    for counter in recalled {
        number(&mut request, counter.at);
        number(&mut request, counter.level);
    }
    request
}

fn list(into: &mut Vec<u8>, asked: &[Asked<'_>]) {
    let names: usize =
        asked.iter().map(|asked| asked.limit.name().as_str().len().saturating_add(2)).sum();
    into.extend_from_slice(&u16::try_from(names).unwrap_or(u16::MAX).to_be_bytes());
    for Asked { limit, rule, .. } in asked {
        into.push(rule.kind.letter());
        into.extend_from_slice(limit.name().as_str().as_bytes());
        into.push(0);
    }
    for Asked { rule, .. } in asked {
        number(into, rule.unit);
        number(into, rule.flow);
    }
}

fn head(cost: u64, asked: &[Asked<'_>], view: &View, stamp: u64) -> [u8; HEAD] {
    let quotas = || asked.iter().map(|asked| asked.rule).filter(|rule| rule.kind == Kind::Quota);
    let since = quotas().map(|rule| rule.unit).max().unwrap_or(0);
    let turn = quotas().map(|rule| rule.flow).min().unwrap_or(MAX_EXACT);
    let last_turn = quotas().map(|rule| rule.flow).max();
    let keep = last_turn.map_or(0, |turn| (turn / 1000).saturating_add(SLACK_MILLIS));
    let rates = asked.len().saturating_sub(quotas().count());
    let mut head = [0; HEAD];
    let mut rest = Writer(&mut head);
    for field in [since, stamp, view.sight.epoch, view.sight.charges, turn] {
        rest.uint(NUMBER, field);
    }
    rest.uint(6, keep);
    rest.uint(NUMBER, cost);
    for count in [view.listed, rates, asked.len()] {
        rest.uint(1, u64::try_from(count).unwrap_or(u64::MAX));
    }
    head
}

/// The stamp of the list of these limits alone.
pub(super) fn stamp_of(asked: &[Asked<'_>]) -> u64 {
    let mut text = Vec::with_capacity(64 * asked.len());
    list(&mut text, asked);
    stamp(&text)
}

/// The version, and a hash of the list in 48 bits: enough for the few that one owner ever has. It is
/// never the version alone.
fn stamp(list: &[u8]) -> u64 {
    // Words are mixed in by the multiplier of Fibonacci hashing, and a shift that brings the high bits down.
    let mix = |state: u64| {
        let product = state.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        product ^ (product >> 32)
    };
    let hash = list.chunks(8).fold(0x5851_F42D_4C95_7F2D, |state, chunk| {
        let word = chunk.iter().fold(0, |word: u64, byte| (word << 8) | u64::from(*byte));
        mix(state ^ word)
    });
    let hash = mix(hash) >> (u64::BITS - HASH_BITS);
    (VERSION << HASH_BITS) | hash.max(1)
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
    /// It is decided, and the counters of the owners follow.
    Decided { charged: bool, told: Told<'r> },
    /// Less is held than was seen: recall it.
    Behind,
    /// The window of a quota is not that of the instant it is counted at.
    Window { owner: usize, limit: usize, at: Timestamp },
}

impl<'r> Reply<'r> {
    /// Reads the reply to a charge whose first limit has this place among the counters.
    pub(super) fn read(bytes: &'r [u8], place: u8) -> Result<Self, Fault> {
        Self::parse(bytes, place)
            .ok_or_else(|| Fault::Foreign("a reply that is not our script's".into()))
    }

    fn parse(bytes: &'r [u8], place: u8) -> Option<Self> {
        let mut rest = Reader(bytes);
        // Of the number of charges, which stays below 2^48.
        let (verdict, now) = match rest.byte()? {
            0 => (Verdict::told(true, false, Reader(bytes)), charged_at(bytes, place)?),
            verdict => {
                let now = rest.number()?;
                (Verdict::parse(verdict, rest)?, now)
            }
        };
        Some(Self { now: Timestamp::from_micros(now), verdict })
    }
}

/// What was charged now tells when that is.
fn charged_at(counters: &[u8], place: u8) -> Option<u64> {
    let before = usize::from(place).saturating_mul(2).saturating_add(1).saturating_mul(NUMBER);
    Reader(counters.get(before..)?).number()
}

impl<'r> Verdict<'r> {
    fn parse(verdict: u8, mut rest: Reader<'r>) -> Option<Self> {
        Some(match verdict {
            1 | 2 => Self::told(verdict == 2, false, rest),
            3 => Self::Behind,
            4 => Self::Window {
                owner: usize::from(rest.byte()?).checked_sub(1)?,
                limit: usize::from(rest.byte()?).checked_sub(1)?,
                at: Timestamp::from_micros(rest.number()?),
            },
            5 | 6 => Self::told(verdict == 6, true, rest),
            _ => return None,
        })
    }

    fn told(charged: bool, in_full: bool, rest: Reader<'r>) -> Self {
        Self::Decided { charged, told: Told { rest, in_full } }
    }
}

/// What is told of the owners, one after the other: counters alone where their list is known, else values.
#[derive(Debug)]
pub(super) struct Told<'r> {
    rest: Reader<'r>,
    in_full: bool,
}

/// What is told of one owner.
#[derive(Debug)]
pub(super) struct News {
    pub(super) sight: Sight,
    pub(super) counters: Few<Counter>,
    /// The stamp and the list, if the caller did not know them.
    pub(super) list: Option<(u64, Vec<Listed>)>,
}

impl Told<'_> {
    /// Where no owner was asked.
    pub(super) fn of_nobody() -> Self {
        Self { rest: Reader(&[]), in_full: false }
    }

    /// The next owner's counters; `view` is what was known of them when the charge was sent.
    pub(super) fn next(&mut self, view: &View, now: Timestamp) -> Result<News, Fault> {
        let news = if self.in_full { self.value() } else { self.counters(view, now) };
        news.ok_or_else(|| Fault::Foreign("a reply without every limit".into()))
    }

    /// Counters alone go on from what was seen, or are of a value that was made now.
    fn counters(&mut self, view: &View, now: Timestamp) -> Option<News> {
        let epoch = if view.sight.epoch == 0 { now.micros() } else { view.sight.epoch };
        let charges = self.rest.number()?;
        let counters = self.rest.counters(view.listed)?;
        Some(News { sight: Sight { epoch, charges }, counters, list: None })
    }

    fn value(&mut self) -> Option<News> {
        let (stamp, epoch) = (self.rest.number()?, self.rest.number()?);
        let _expiry = self.rest.take(6)?;
        let listed = usize::from(self.rest.byte()?);
        let charges = self.rest.number()?;
        let counters = self.rest.counters(listed)?;
        let _reset = self.rest.number()?;
        let list = self.rest.list().filter(|list| list.len() == listed)?;
        Some(News { sight: Sight { epoch, charges }, counters, list: Some((stamp, list)) })
    }
}

impl Listed {
    /// Whether this is where the limit is counted, by whatever rule.
    pub(super) fn is_of(&self, asked: &Asked<'_>) -> bool {
        self.kind == asked.rule.kind && *self.name == *asked.limit.name().as_str()
    }

    /// Whether it is counted by the same rule, in the same window.
    pub(super) fn is(&self, asked: &Asked<'_>) -> bool {
        self.unit == asked.rule.unit && self.flow == asked.rule.flow && self.is_of(asked)
    }
}

impl From<&Asked<'_>> for Listed {
    fn from(asked: &Asked<'_>) -> Self {
        let SentRule { kind, unit, flow, .. } = asked.rule;
        Self { kind, name: asked.limit.name().as_str().into(), unit, flow }
    }
}

/// Reads from the front.
#[derive(Clone, Copy, Debug)]
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
        let digits = self.take(NUMBER)?.iter();
        Some(digits.fold(0, |number, digit| (number << 8) | u64::from(*digit)))
    }

    fn counters(&mut self, count: usize) -> Option<Few<Counter>> {
        let counter = |_| Some(Counter { at: self.number()?, level: self.number()? });
        (0..count).map(counter).collect()
    }

    fn list(&mut self) -> Option<Vec<Listed>> {
        let bytes = self.take(2)?.iter();
        let bytes = bytes.fold(0, |number, digit| (number << 8) | usize::from(*digit));
        let names = self.take(bytes)?.split_inclusive(|byte| *byte == 0);
        let limit = |name: &[u8]| {
            let (kind, name) = name.strip_suffix(&[0])?.split_first()?;
            let (kind, name) = (Kind::of(*kind)?, std::str::from_utf8(name).ok()?.into());
            Some(Listed { kind, name, unit: self.number()?, flow: self.number()? })
        };
        names.map(limit).collect()
    }
}

/// Writes to the front.
struct Writer<'b>(&'b mut [u8]);

impl Writer<'_> {
    /// The number in so many bytes; the largest exact one stands for all beyond.
    fn uint(&mut self, bytes: usize, value: u64) {
        let (place, rest) =
            std::mem::take(&mut self.0).split_at_mut_checked(bytes).unwrap_or_default();
        let digits = value.min(MAX_EXACT).to_be_bytes();
        place.copy_from_slice(digits.get(digits.len().saturating_sub(bytes)..).unwrap_or_default());
        self.0 = rest;
    }
}

#[cfg(test)]
mod tests {
    use keygate::plan::{Plan, RateSpec};

    use super::*;

    fn view(listed: usize) -> View {
        View { listed, ..View::default() }
    }

    #[test]
    fn replies_that_are_cut_short_are_faults() {
        let counters = [0; 3 * NUMBER];
        let value = [&[0; 20][..], &[1], &counters, &[0; NUMBER], &[0, 3], b"qa\0", &[0; 14]];
        let value = [&[6][..], &[0; NUMBER], &value.concat()].concat();
        for end in 0..2 * NUMBER {
            assert!(Reply::read(&counters[..end], 0).is_err(), "{end}");
        }
        for other in [&[9; 8][..], &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[3]] {
            assert!(Reply::read(other, 0).is_err());
        }
        for (whole, least) in [(&counters[..], 2 * NUMBER), (&value, 1 + NUMBER)] {
            for end in least..=whole.len() {
                let reply = Reply::read(&whole[..end], 0).unwrap();
                let Verdict::Decided { mut told, .. } = reply.verdict else { panic!("{reply:?}") };
                assert_eq!(told.next(&view(1), reply.now).is_ok(), end == whole.len(), "{end}");
                assert!(told.next(&view(1), reply.now).is_err());
            }
        }
    }

    /// The stamp of a list of one rate.
    fn stamp_of(name: &str, count: u64) -> Vec<u8> {
        let plan = Plan::builder("test").limit(Limit::rate(name, RateSpec::per_second(count)));
        let plan = plan.build().unwrap();
        let asked = Asked::new(&plan.limits()[0], 0, Timestamp::from_micros(1)).unwrap();
        request(1, &[asked], &view(1), &[])[NUMBER..2 * NUMBER].to_vec()
    }

    #[test]
    fn a_stamp_tells_the_version_and_lists_apart() {
        let stamp = stamp_of("burst", 10);
        assert_eq!(stamp[0], 1);
        assert_eq!(stamp, stamp_of("burst", 10));
        assert_ne!(stamp, stamp_of("burst", 20));
        assert_ne!(stamp, stamp_of("bursu", 10));
    }
}
