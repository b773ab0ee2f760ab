//! Servers to be loaded: one route, which says `ok`, and in front of it what the arguments name. The
//! address is printed, and the key if there is one.

mod actix;
mod axum;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["axum", what @ ..] => axum::serve(what),
        ["actix", what] => actix::serve(what),
        _ => panic!("{args:?} begins with neither axum nor actix"),
    }
}
