//! As much of PostgreSQL's protocol as the tests need: log in, ask, read text.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use embedded_postgres::Server;

pub(crate) struct Client {
    stream: UnixStream,
}

impl Client {
    pub(crate) fn connect(server: &Server) -> Self {
        let mut stream = UnixStream::connect(server.socket_dir().join(".s.PGSQL.5432")).unwrap();
        let mut greeting = 196_608_u32.to_be_bytes().to_vec();
        greeting.extend(b"user\0postgres\0database\0postgres\0\0");
        stream.write_all(&with_length(&greeting)).unwrap();
        let mut client = Self { stream };
        client.read_until_ready();
        client
    }

    /// The first column of every row of every statement.
    pub(crate) fn ask(&mut self, statements: &str) -> Vec<String> {
        let mut text = statements.as_bytes().to_vec();
        text.push(0);
        let mut message = b"Q".to_vec();
        message.extend(with_length(&text));
        self.stream.write_all(&message).unwrap();
        self.read_until_ready()
    }

    pub(crate) fn ask_one(&mut self, statement: &str) -> String {
        self.ask(statement).remove(0)
    }

    fn read_until_ready(&mut self) -> Vec<String> {
        let mut rows = Vec::new();
        loop {
            let (kind, body) = self.read_message();
            match kind {
                b'D' => rows.push(first_column(&body)),
                b'E' => panic!("PostgreSQL: {}", String::from_utf8_lossy(&body)),
                b'Z' => return rows,
                _ => {}
            }
        }
    }

    fn read_message(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; length as usize - 4];
        self.stream.read_exact(&mut body).unwrap();
        (head[0], body)
    }
}

fn with_length(body: &[u8]) -> Vec<u8> {
    let mut message = (body.len() as u32 + 4).to_be_bytes().to_vec();
    message.extend(body);
    message
}

/// A row is the number of columns, and for each its length and its bytes.
fn first_column(row: &[u8]) -> String {
    let length = u32::from_be_bytes(row[2..6].try_into().unwrap()) as usize;
    String::from_utf8(row[6..6 + length].to_vec()).unwrap()
}
