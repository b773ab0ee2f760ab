//! What is added to requests and responses, and what is left as it was.

use http::{HeaderValue, Request, Response, StatusCode, Version};
use keygate::{Caller, Verdict, gate::GateBuilder, verdict::Reason};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{Door, text_of};

/// Something that another layer knows.
#[derive(Clone, Debug, PartialEq)]
struct Note(&'static str);

type Answer = Result<Response<String>, ()>;

async fn teapot(request: Request<()>) -> Answer {
    let caller = request.extensions().get::<Caller>().unwrap();
    assert_eq!(caller.consumer().as_str(), "acme");
    let admission = caller.admission();
    assert_eq!((admission.caller().key_id(), admission.admitted().cost()), (caller.key_id(), 1));
    assert_eq!(request.extensions().get(), Some(&Note("of the request")));
    assert_eq!(request.headers()["x-before"], "kept");
    assert_eq!(request.uri().path(), "/tea");

    let mut response = Response::new("short and stout".to_owned());
    *response.status_mut() = StatusCode::IM_A_TEAPOT;
    *response.version_mut() = Version::HTTP_10;
    response.extensions_mut().insert(Note("of the response"));
    for (name, value) in
        [("ratelimit", r#""tea";r=1;t=9"#), ("set-cookie", "a"), ("set-cookie", "b")]
    {
        response.headers_mut().append(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

fn values<'r, B>(response: &'r Response<B>, name: &str) -> Vec<&'r str> {
    let values = response.headers().get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn an_admission_adds_and_overwrites_nothing() {
    let door = Door::built(9, GateBuilder::tell_admitted).await;
    let request = door.get("/tea").header("x-before", "kept").extension(Note("of the request"));
    let service = door.layer().layer(service_fn(teapot));
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();

    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(response.version(), Version::HTTP_10);
    assert_eq!(response.extensions().get(), Some(&Note("of the response")));
    assert_eq!(values(&response, "set-cookie"), ["a", "b"]);
    let told = [r#""tea";r=1;t=9"#, r#""daily";r=8;t=43200"#];
    assert_eq!(values(&response, "ratelimit"), told);
    assert_eq!(values(&response, "ratelimit-policy"), [r#""daily";q=9;w=86400"#]);
    match response.extensions().get() {
        Some(Verdict::Admitted(admitted)) => {
            assert_eq!(admitted.caller().key_id(), Some(door.issued.record.id));
            assert_eq!(admitted.cost(), 1);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(text_of(response).await, "short and stout");
}

#[tokio::test]
async fn the_verdict_on_an_admitted_request_is_told_only_if_asked_for() {
    let door = Door::of(9).await;
    let service = door.layer().layer(service_fn(async |request: Request<()>| {
        assert!(request.extensions().get::<Caller>().is_some());
        Answer::Ok(Response::new(String::new()))
    }));
    let response = service.oneshot(door.get("/").body(()).unwrap()).await.unwrap();
    assert_eq!(values(&response, "ratelimit").len(), 1);
    assert!(response.extensions().is_empty());
}

#[tokio::test]
async fn a_refusal_is_a_response_with_the_verdict_in_its_extensions() {
    let door = Door::of(9).await;
    let service = door.layer().cost(10).layer(service_fn(teapot));
    let response = service.oneshot(door.get("/tea").body(()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(values(&response, "content-type"), ["application/problem+json"]);
    assert_eq!(values(&response, "retry-after"), [] as [&str; 0]);
    match response.extensions().get() {
        Some(Verdict::Rejected(rejection)) => {
            assert_eq!(rejection.reason(), Reason::CostExceedsLimit);
            assert_eq!(rejection.caller().unwrap().key_id(), Some(door.issued.record.id));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_public_request_gets_neither_caller_nor_verdict() {
    let door = Door::built(9, |builder| builder.public_path("/open")).await;
    let service = door.layer().layer(service_fn(|request: Request<()>| async move {
        assert!(request.extensions().get::<Caller>().is_none());
        Answer::Ok(Response::new(String::new()))
    }));
    let response = service.oneshot(door.get("/open").body(()).unwrap()).await.unwrap();
    assert!(response.extensions().get::<Verdict>().is_none());
    assert!(response.headers().is_empty());
    assert_eq!(door.usage().await, []);
}
