use super::{
    FieldName,
    grpc::{GrpcDialect, answered_status, ended_status},
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

    /// The same, or `None` if the response says with its trailers how it ends.
    pub(crate) fn status_by_head<'h>(
        self,
        status: u16,
        header: impl Fn(&'static str) -> Option<&'h [u8]>,
    ) -> Option<u16> {
        let has = |name: FieldName| header(name.as_str());
        let awaits = self.grpc.is_some_and(|dialect| dialect.awaits_trailers(status, has));
        (!awaits).then(|| self.status_of(status, header))
    }

    /// The status of a response in terms of HTTP, as its trailers tell it, or their absence.
    pub(crate) fn status_by_trailers<'t>(
        self,
        trailer: impl FnOnce(&'static str) -> Option<&'t [u8]>,
    ) -> u16 {
        ended_status(trailer(FieldName::GrpcStatus.as_str()))
    }
}
