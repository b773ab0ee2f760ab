//! A server for tests that says what no real one at hand would.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Starts one that answers each command by its verb, in RESP, or hangs up; gives its port.
pub(crate) async fn server<A>(answer: A) -> u16
where
    A: Fn(&str, u16) -> Option<String> + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move { serve(client, |verb| answer(verb, port)).await });
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
