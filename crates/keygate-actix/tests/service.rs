//! In this process, over the test service of actix-web.

#[cfg(test)]
mod support;

#[cfg(test)]
#[path = "service/bodies.rs"]
mod bodies;
#[cfg(test)]
#[path = "service/cors.rs"]
mod cors;
#[cfg(test)]
#[path = "service/credentials.rs"]
mod credentials;
#[cfg(test)]
#[path = "service/errors.rs"]
mod errors;
#[cfg(test)]
#[path = "service/extractors.rs"]
mod extractors;
#[cfg(test)]
#[path = "service/meeting.rs"]
mod meeting;
#[cfg(test)]
#[path = "service/metering.rs"]
mod metering;
#[cfg(test)]
#[path = "service/refusals.rs"]
mod refusals;
#[cfg(test)]
#[path = "service/requirements.rs"]
mod requirements;
#[cfg(test)]
#[path = "service/send.rs"]
mod send;
#[cfg(test)]
#[path = "service/stacks.rs"]
mod stacks;
#[cfg(test)]
#[path = "service/types.rs"]
mod types;
