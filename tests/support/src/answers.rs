//! An HTTP server that answers as told: what a service says on a bad day, which its
//! double never would.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::{io, thread};

/// A server on this machine. It ends with this process.
pub struct Answers {
    address: SocketAddr,
}

impl Answers {
    /// Starts it. `answer` gets a request's line and headers as they came, in lower
    /// case, and gives a status and a body.
    ///
    /// # Errors
    ///
    /// There is no port.
    pub fn start(
        answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
    ) -> io::Result<Answers> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                // A client that has gone away is no concern of ours.
                thread::spawn(move || drop(serve(stream, &*answer)));
            }
        });
        Ok(Answers { address })
    }

    /// Where it is, such as `http://127.0.0.1:4566`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The variables that have the AWS SDK come here.
    pub fn env(&self) -> Vec<(String, String)> {
        crate::aws::environment(&self.endpoint())
    }
}

/// One request for each connection.
fn serve(stream: TcpStream, answer: &impl Fn(&str) -> (u16, String)) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    reader.read_exact(&mut vec![0; length.unwrap_or_default()])?;
    let (status, body) = answer(&head);
    let head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    (&stream).write_all((head + &body).as_bytes())
}
