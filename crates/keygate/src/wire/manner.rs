use super::{
    FieldName,
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
    pub(crate) fn status_of<'h>(
        self,
        status: u16,
        header: impl FnOnce(&'static str) -> Option<&'h [u8]>,
    ) -> u16 {
        match self.grpc {
            Some(_) => answered_status(status, header(FieldName::GrpcStatus.as_str())),
            None => status,
        }
    }
}
