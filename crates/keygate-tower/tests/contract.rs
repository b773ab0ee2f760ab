//! What tower demands of a layer: readiness, cancelling, errors, and who is called when.

#[cfg(test)]
#[path = "contract/errors.rs"]
mod errors;
#[cfg(test)]
#[path = "contract/inner.rs"]
mod inner;
#[cfg(test)]
#[path = "contract/load.rs"]
mod load;
#[cfg(test)]
#[path = "contract/metering.rs"]
mod metering;
#[cfg(test)]
#[path = "contract/order.rs"]
mod order;
#[cfg(test)]
#[path = "contract/readiness.rs"]
mod readiness;
#[cfg(test)]
#[path = "contract/refusals.rs"]
mod refusals;
#[cfg(test)]
#[path = "contract/responses.rs"]
mod responses;
#[cfg(test)]
#[path = "contract/stacks.rs"]
mod stacks;
#[cfg(test)]
mod support;
#[cfg(test)]
#[path = "contract/types.rs"]
mod types;
