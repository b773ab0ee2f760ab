//! keygate beside its peers.
//!
//! Machines are noisy and differ, so no figure here stands alone: contenders take turns within one
//! run ([`harness`]) and are told as ratios to a named baseline. `docs/performance.md` of the
//! repository says what is measured and why.
//!
//! The peers are governor, tower_governor, actix-governor and limitador. tower-rate-limiter is not among them: its
//! newest version needs a newer Rust than this workspace is built with.

pub mod by_hand;
pub mod harness;
pub mod heap;
pub mod load;
pub mod ours;
pub mod peers;
