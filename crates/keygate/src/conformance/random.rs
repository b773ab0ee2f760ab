//! Numbers for traces: reproducible, and good enough to stumble over mistakes.

/// The generator xorshift64* (Vigna, 2016). Its seed is told when a law fails.
pub(super) struct Random(u64);

impl Random {
    /// A generator whose numbers depend on nothing but the seed; zero will do.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `bound`, or 0 if there is none.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        word.checked_rem(bound).unwrap_or(0)
    }

    /// One of these, or 0 if there are none.
    pub(super) fn one_of(&mut self, numbers: &[u64]) -> u64 {
        let index = self.below(numbers.len().try_into().unwrap_or(0));
        let chosen = usize::try_from(index).ok().and_then(|index| numbers.get(index));
        chosen.copied().unwrap_or(0)
    }
}
