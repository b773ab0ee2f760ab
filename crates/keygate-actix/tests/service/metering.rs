//! A request is metered exactly once, however it ends.

use std::{future::pending, pin::pin, task::Poll};

use actix_web::{App, HttpResponse, dev::Service as _, test::init_service, web};
use keygate::{
    usage::{Outcome, StatusClass},
    verdict::Reason,
};
use keygate_actix::Admission;

use crate::{
    send::{poll_once, status},
    support::{Door, SERVER_ERROR, SUCCESS},
};

#[actix_web::test]
async fn an_answer_is_metered_once_by_its_status() {
    let door = Door::of(9).await;
    let handler = async |status: web::Path<u16>| {
        HttpResponse::build(status.into_inner().try_into().unwrap()).finish()
    };
    let app = App::new().route("/{status}", web::get().to(handler)).wrap(door.keys());
    let app = init_service(app).await;
    for expected in [204, 404, 500] {
        assert_eq!(status(&app, door.get(&format!("/{expected}"))).await, expected);
    }
    let classes = [StatusClass::Success, StatusClass::ClientError, StatusClass::ServerError];
    assert_eq!(door.usage().await, classes.map(|class| (Outcome::Admitted(class), 1, 1)));
}

#[actix_web::test]
async fn stores_that_answer_at_once_are_asked_in_the_call() {
    let door = Door::limited("name = 'parallel', concurrency = 1", |it| it).await;
    let app = App::new().route("/", web::get().to(|| async { "" })).wrap(door.keys());
    let app = init_service(app).await;
    let never_polled = app.call(door.get("/").to_request());
    assert_eq!(status(&app, door.get("/")).await, 429);
    drop(never_polled);
    let denied = (Outcome::Denied(Reason::TooManyConcurrent), 1, 0);
    assert_eq!(door.usage().await, [denied, (Outcome::Aborted, 1, 1)]);
    assert_eq!(status(&app, door.get("/")).await, 200, "the slot is free again");
}

#[actix_web::test]
async fn a_client_that_leaves_before_the_answer_is_metered_once_as_aborted() {
    let door = Door::of(9).await;
    let app = App::new().route("/", web::get().to(pending::<String>)).wrap(door.keys());
    let app = init_service(app).await;
    {
        let mut answer = pin!(app.call(door.get("/").to_request()));
        assert!(matches!(poll_once(answer.as_mut()), Poll::Pending));
        assert_eq!(door.usage().await, []);
    }
    assert_eq!(door.usage().await, [(Outcome::Aborted, 1, 1)]);
}

#[actix_web::test]
async fn a_handler_that_panics_is_metered_once_as_failed() {
    let door = Door::of(9).await;
    let handler = async || {
        tokio::task::yield_now().await;
        if true { panic!("a bug in a handler") } else { "" }
    };
    let app = App::new().route("/", web::get().to(handler)).wrap(door.keys());
    let app = init_service(app).await;
    let request = door.get("/").to_request();
    let task = actix_web::rt::spawn(async move { app.call(request).await.is_ok() });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(door.usage().await, [(SERVER_ERROR, 1, 1)]);
}

#[actix_web::test]
async fn a_request_is_over_when_nobody_holds_its_admission() {
    let door = Door::of(9).await;
    let (keep, mut kept) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |admission: Admission| {
        keep.send(admission).unwrap();
        async { "" }
    };
    let app = App::new().route("/", web::get().to(handler)).wrap(door.keys());
    let app = init_service(app).await;
    assert_eq!(status(&app, door.get("/")).await, 200);
    let admission = kept.recv().await.unwrap();
    assert_eq!(door.usage().await, []);
    admission.settle_cost(4);
    drop(admission);
    assert_eq!(door.usage().await, [(SUCCESS, 1, 4)]);
}
