//! What the log says of a mistake. In a program of its own, for the log is the program's.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]

use std::{
    io,
    sync::{Arc, Mutex},
};

use actix_web::{
    App,
    test::{TestRequest, call_service, init_service},
    web,
};
use keygate_actix::Caller;

/// A log to read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[actix_web::test]
async fn the_log_names_the_mistake_and_the_path_but_says_nothing_of_options() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let app = App::new()
        .route("/option", web::get().to(async |caller: Option<Caller>| format!("{caller:?}")))
        .route("/caller", web::get().to(async |_: Caller| "reached"));
    let app = init_service(app).await;
    let told = || String::from_utf8(log.0.lock().unwrap().clone()).unwrap();

    let status = async |uri| {
        let request = TestRequest::get().uri(uri).to_request();
        call_service(&app, request).await.status().as_u16()
    };

    assert_eq!(status("/option?secret").await, 200);
    assert!(!told().contains("ERROR"), "{}", told());
    assert_eq!(status("/caller?secret").await, 500);
    for text in ["ERROR", "/caller", "Keygate", "wrap the route", "Option"] {
        assert!(told().contains(text), "lacks `{text}`: {}", told());
    }
    assert!(!told().contains("secret"), "{}", told());
}
