//! What a client sees: where a key may stand, how each bad one is refused, which fields tell of
//! limits.

#[cfg(test)]
#[path = "wire/credentials.rs"]
mod credentials;
#[cfg(test)]
#[path = "wire/fields.rs"]
mod fields;
#[cfg(test)]
#[path = "wire/places.rs"]
mod places;
#[cfg(test)]
mod rigged;
#[cfg(test)]
mod support;
#[cfg(test)]
#[path = "wire/websocket.rs"]
mod websocket;
