//! What the compiler promises, and how small the adapter is.

use std::{cell::Cell, fmt, fs, future::Ready, path::Path, rc::Rc};

use http::{Request, Response};
use keygate_tower::{Keygate, KeygateLayer, ResponseBody, ResponseFuture};
use tower::{Layer as _, ServiceExt as _, service_fn, util::ServiceFn};

use crate::{
    inner::Strict,
    support::{Door, text_of},
};

/// Lines of code: without blank ones and comments.
const MOST_LINES: usize = 300;

/// A body that can be sent to another thread and nothing more.
type Body = Cell<u8>;
type Handler = fn(Request<Body>) -> Ready<Result<Response<String>, ()>>;

const fn is_layer<T: Clone + fmt::Debug + Send + Sync + Unpin + 'static>() {}
const fn is_service<T: Clone + fmt::Debug + Send + Sync + Unpin + 'static>() {}
const fn is_body<T: http_body::Body + fmt::Debug + Send + Sync + Unpin + 'static>() {}
const fn is_future<T: Future + fmt::Debug + Send + Unpin + 'static>() {}

const _: () = {
    is_layer::<KeygateLayer>();
    is_service::<Keygate<Strict>>();
    is_body::<ResponseBody<String>>();
    is_future::<ResponseFuture<ServiceFn<Handler>, Body>>();
};

#[tokio::test]
async fn a_service_may_borrow() {
    let door = Door::of(9).await;
    let (calls, greeting) = (Cell::new(0), "hello".to_owned());
    let service = door.layer().layer(service_fn(|request: Request<&str>| {
        calls.set(calls.get() + 1);
        let body = format!("{greeting}, {}", request.body());
        async { Ok::<_, ()>(Response::new(body)) }
    }));
    let name = "acme".to_owned();
    let request = door.get("/").body(name.as_str()).unwrap();
    assert_eq!(text_of(service.oneshot(request).await.unwrap()).await, "hello, acme");
    assert_eq!(calls.get(), 1);
}

#[tokio::test]
async fn a_service_may_stay_on_its_thread() {
    let door = Door::of(9).await;
    let kept = Rc::new(7);
    let service = door.layer().layer(service_fn(move |_: Request<Rc<()>>| {
        let kept = Rc::clone(&kept);
        async move { Ok::<_, Rc<()>>(Response::new(kept.to_string())) }
    }));
    let request = door.get("/").body(Rc::default()).unwrap();
    assert_eq!(text_of(service.oneshot(request).await.unwrap()).await, "7");
}

#[test]
fn the_adapter_stays_under_three_hundred_lines() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: Vec<_> = fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.iter().all(|file| file.is_file()), "count folders too: {files:?}");
    let lines: usize = files.iter().map(|file| lines_of_code(file)).sum();
    assert!((1..MOST_LINES).contains(&lines), "{lines} lines; an adapter only translates types");
}

fn lines_of_code(file: &Path) -> usize {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().map(str::trim_start);
    lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}
