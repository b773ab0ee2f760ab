use actix_web::{
    App, HttpServer, Resource,
    rt::System,
    web::{ServiceConfig, get, resource},
};
use keygate_actix::Keygate;
use keygate_bench::{
    load::ROUTE,
    ours::{self, Setup},
    peers,
};

pub(crate) fn serve(what: &str) {
    match what {
        "bare" => run("", |app| {
            app.service(route());
        }),
        "keygate" => {
            let setup = Setup::new();
            let key = setup.issue(1).remove(0);
            let keys = Keygate::new(setup.gate).with(ours::requirement());
            run(&key, move |app| {
                app.service(route().wrap(keys.clone()));
            });
        }
        "governor" => run("", |app| {
            app.service(route().wrap(peers::actix_governor()));
        }),
        _ => panic!("`{what}` is none of bare, keygate and governor"),
    }
}

fn route() -> Resource {
    resource(ROUTE).route(get().to(|| async { "ok" }))
}

/// With one worker, which alone runs `routes`.
fn run(key: &str, routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static) {
    let server = HttpServer::new(move || App::new().configure(routes.clone())).workers(1);
    let server = server.bind("127.0.0.1:0").expect("a port");
    println!("{} {key}", server.addrs().first().expect("an address"));
    System::new().block_on(server.run()).expect("served");
}
