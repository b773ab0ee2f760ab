//! Over real sockets, on several workers.

#[cfg(test)]
mod support;

#[cfg(test)]
#[path = "sockets/bodies.rs"]
mod bodies;
#[cfg(test)]
#[path = "sockets/leaving.rs"]
mod leaving;
#[cfg(test)]
#[path = "sockets/load.rs"]
mod load;
#[cfg(test)]
#[path = "sockets/talk.rs"]
mod talk;
#[cfg(test)]
#[path = "sockets/websocket.rs"]
mod websocket;
