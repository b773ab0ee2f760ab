//! In axum: routers, requirements, credentials, CORS, and layers that meet on one route.

#[cfg(test)]
#[path = "axum/admission.rs"]
mod admission;
#[cfg(test)]
#[path = "axum/cors.rs"]
mod cors;
#[cfg(test)]
#[path = "axum/credentials.rs"]
mod credentials;
#[cfg(test)]
#[path = "axum/meeting.rs"]
mod meeting;
#[cfg(test)]
#[path = "axum/requirements.rs"]
mod requirements;
#[cfg(test)]
#[path = "axum/routers.rs"]
mod routers;
#[cfg(test)]
#[path = "axum/send.rs"]
mod send;
#[cfg(test)]
mod support;
