//! A server for tests that says what no real one at hand would.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the server knows of a client.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    /// The port it connected to.
    pub(crate) port: u16,
    /// How many came before it.
    pub(crate) number: u64,
}

/// Starts one that answers each command by its verb, in RESP, or hangs up; gives its port. Who is answered with
/// nothing is left waiting.
pub(crate) async fn server<A>(answer: A) -> u16
where
    A: Fn(&str, Client) -> Option<String> + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            let (answer, client) = (Arc::clone(&answer), Client { port, number });
            tokio::spawn(async move { serve(stream, |verb| answer(verb, client)).await });
        }
    });
    port
}

async fn serve(mut client: TcpStream, answer: impl Fn(&str) -> Option<String>) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = client.read(&mut bytes).await {
        let commands = String::from_utf8_lossy(&bytes[..length]).into_owned();
        for command in commands.split('*').skip(1) {
            let answer = match command.lines().nth(2) {
                Some("HELLO") => Some("%0\r\n".to_owned()),
                Some("CLIENT") => Some("+OK\r\n".to_owned()),
                verb => answer(verb.unwrap_or_default()),
            };
            let Some(answer) = answer else { return };
            client.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}
