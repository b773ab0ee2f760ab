#![doc = include_str!("../README.md")]
//!
//! # Rooms
//!
//! | room | holds |
//! |---|---|
//! | [`gate`] | the flow: present, admit, settle |
//! | [`key`] | the text of keys, their digests and ids |
//! | [`record`] | what a store knows of a key; the caller it becomes |
//! | [`scope`] | permission words and queries over them |
//! | [`constraint`] | where and how a key may be used |
//! | [`plan`] | limits and ceilings, from code or TOML |
//! | [`requirement`] | what a route demands |
//! | [`limit`] | the arithmetic of rates and quotas, and its theory |
//! | [`period`] | calendar windows in a time zone |
//! | [`verdict`] | admissions and rejections, and the reasons |
//! | [`wire`] | header names, statuses, problem bodies |
//! | [`keyring`] | issue, list, disable, rotate, revoke |
//! | [`address`] | the client's address behind trusted proxies |
//! | [`usage`] | metered events and their rollups |
//! | [`port`] | what a backend must do, law by law |
//! | [`memory`] | the reference backend |
//! | [`cached`] | a key store before a key store |
//! | [`clock`] | what time it is |
//! | [`failures`] | what a backend failed to do, for its log |
//! | `conformance` | the laws of the ports as functions, behind the feature of that name |

pub mod address;
pub mod cached;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod constraint;
pub mod failures;
pub mod gate;
pub mod key;
pub mod keyring;
pub mod limit;
pub mod memory;
pub mod period;
pub mod plan;
pub mod port;
pub mod record;
pub mod requirement;
pub mod scope;
pub mod usage;
pub mod verdict;
pub mod wire;

pub use self::{
    gate::Gate,
    key::ApiKey,
    keyring::{Keyring, NewKey},
    plan::Plans,
    verdict::{Caller, Verdict},
};
