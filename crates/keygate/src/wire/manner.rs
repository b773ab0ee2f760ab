use super::{
    ResponseHead,
    grpc::{GrpcDialect, answered_status},
};

/// How a request is to be answered, as far as its head tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Whether scripts of another origin may want to read the fields.
    pub(crate) cross_origin: bool,
    /// Which gRPC the request speaks, if it speaks any.
    pub(crate) grpc: Option<GrpcDialect>,
}

impl Manner {
    /// The status of a response in terms of HTTP.
    pub(crate) fn status_of(self, response: &impl ResponseHead) -> u16 {
        match self.grpc {
            Some(_) => answered_status(response),
            None => response.status(),
        }
    }
}
