use std::{future, ops::Deref};

use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError, dev};

/// Extracts who calls; see [`keygate::Caller`].
///
/// `Option<Caller>` is `None` where no gate admitted the request.
#[derive(Clone, Debug)]
pub struct Caller(pub keygate::Caller);

/// Extracts the admission of the request; see [`keygate::verdict::Admission`].
#[derive(Clone, Debug)]
#[must_use = "a request without an admission at hand is over"]
pub struct Admission(pub keygate::verdict::Admission);

/// A handler asked for the caller of a request that no gate admitted: a mistake of the service, and
/// answered as one. The log tells the path.
#[derive(Clone, Debug, thiserror::Error)]
#[error("this route asks who calls, and nobody found out; the log of the service says why")]
pub struct NotAdmitted {
    path: String,
}

macro_rules! extract {
    ($own:ident, $found:ty, $of:expr) => {
        impl Deref for $own {
            type Target = $found;

            fn deref(&self) -> &$found {
                &self.0
            }
        }

        impl FromRequest for $own {
            type Error = NotAdmitted;
            type Future = future::Ready<Result<Self, NotAdmitted>>;

            fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
                let found = request.extensions().get::<keygate::Caller>().map($of).map(Self);
                future::ready(found.ok_or_else(|| NotAdmitted { path: request.path().to_owned() }))
            }
        }
    };
}

extract!(Caller, keygate::Caller, Clone::clone);
extract!(Admission, keygate::verdict::Admission, keygate::Caller::admission);

impl ResponseError for NotAdmitted {
    // Not when it is made: an `Option` makes it too, and drops it.
    fn error_response(&self) -> HttpResponse {
        tracing::error!(
            path = self.path,
            "a handler takes `Caller` or `Admission`, but no `Keygate` admitted its request: wrap \
             the route; where it is public, take an `Option`"
        );
        HttpResponse::build(self.status_code()).body(self.to_string())
    }
}
