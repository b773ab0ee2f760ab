//! Counters that are out of reach.

use std::num::NonZeroU64;

use keygate::{
    limit::Readings,
    port::{Answer, Charge, CounterStore, Owner, Settlement, StoreError},
};

#[derive(Debug)]
pub(crate) struct Broken;

impl CounterStore for Broken {
    fn charge(&self, _: &Charge<'_>) -> Answer<'static, Result<Readings, StoreError>> {
        Answer::later(std::future::ready(Err(StoreError::new("out of reach"))))
    }

    fn settle(&self, _: &Settlement<'_>) -> Answer<'static, ()> {
        Answer::ready(())
    }

    fn reset<'a>(&'a self, _: Owner<'a>) -> Answer<'a, Result<(), StoreError>> {
        Answer::ready(Ok(()))
    }

    fn replicas(&self) -> NonZeroU64 {
        NonZeroU64::MIN
    }
}
