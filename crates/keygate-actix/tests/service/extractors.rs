//! Who calls, in the hands of handlers.

use actix_web::{
    App, HttpMessage as _, HttpRequest,
    test::{TestRequest, init_service},
    web::{self, ReqData},
};
use keygate_actix::{Admission, Caller};

use crate::{
    send::{send, status},
    support::{Door, SUCCESS},
};

async fn optional(caller: Option<Caller>, admission: Option<Admission>) -> String {
    assert_eq!(caller.is_some(), admission.is_some());
    caller.map_or_else(|| "nobody".to_owned(), |caller| caller.consumer().to_string())
}

#[actix_web::test]
async fn a_handler_may_take_the_caller_in_four_ways() {
    let door = Door::of(9).await;
    let app = App::new()
        .route("/caller", web::get().to(async |Caller(it): Caller| it.consumer().to_string()))
        .route(
            "/data",
            web::get().to(async |it: ReqData<keygate::Caller>| it.consumer().to_string()),
        )
        .route("/option", web::get().to(optional))
        .route(
            "/extensions",
            web::get().to(async |request: HttpRequest| {
                request.extensions().get::<keygate::Caller>().unwrap().consumer().to_string()
            }),
        )
        .wrap(door.keys());
    let app = init_service(app).await;
    for path in ["/caller", "/data", "/option", "/extensions"] {
        let answer = send(&app, door.get(path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "acme"), "{path}");
    }
}

#[actix_web::test]
async fn a_handler_may_charge_more_and_settle_the_cost() {
    let door = Door::of(9).await;
    let work = async |admission: Admission| {
        admission.charge(3).await.unwrap();
        let refused = admission.charge(6).await.unwrap_err().reason().code();
        admission.settle_cost(5);
        refused
    };
    let app = init_service(App::new().route("/", web::get().to(work)).wrap(door.keys())).await;
    let answer = send(&app, door.get("/")).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "quota_exhausted"));
    assert_eq!(door.usage().await, [(SUCCESS, 1, 5)]);
    let left = send(&app, door.get("/")).await.values("ratelimit").join("");
    assert_eq!(left, r#""daily";r=3;t=43200"#);
}

#[actix_web::test]
async fn where_nothing_admits_an_option_is_none_and_all_else_a_failure_without_a_secret() {
    let door = Door::built(9, |builder| builder.public_path("/open")).await;
    let app = App::new()
        .route("/option", web::get().to(optional))
        .route("/caller", web::get().to(async |_: Caller| "reached"))
        .route("/admission", web::get().to(async |_: Admission| "reached"))
        .service(web::resource("/open").wrap(door.keys()).to(optional));
    let app = init_service(app).await;
    for path in ["/option", "/open"] {
        let answer = send(&app, TestRequest::get().uri(path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "nobody"), "{path}");
    }
    for path in ["/caller?secret", "/admission?secret"] {
        let answer = send(&app, door.get(path)).await;
        assert_eq!(answer.status, 500, "{path}");
        assert!(!answer.text.contains("secret") && answer.text.contains("log"), "{answer:?}");
    }
    assert_eq!(status(&app, door.get("/open")).await, 200);
    assert_eq!(door.usage().await, []);
}
