//! A line between a client and the server that takes time: what is sent arrives so much
//! later, however much is on its way, as over a network. It also counts round trips.
//!
//! Threads and not tasks carry the bytes, because tokio's timer knows whole milliseconds only.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use importer::ports::clock::{Clock as _, SystemClock};

/// A proxy in front of the server.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    round_trips: Arc<AtomicU64>,
}

/// What both directions of a connection share.
struct Turns {
    /// The server spoke last, so the client has waited for it.
    server_spoke: AtomicBool,
    round_trips: Arc<AtomicU64>,
}

#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

struct Chunk {
    bytes: Vec<u8>,
    due: Duration,
}

impl Link {
    /// Each way takes `delay`. The threads end with their connections, the one that accepts
    /// them with the process.
    pub(crate) fn to(server: SocketAddr, delay: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let round_trips = Arc::new(AtomicU64::new(0));
        let counted = round_trips.clone();
        let clock = Arc::new(SystemClock::real());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A connection that cannot be made fails for the client, which says why.
                let _ = connect(client, server, delay, &clock, &counted);
            }
        });
        Ok(Self {
            address,
            round_trips,
        })
    }

    /// How often so far something was sent in answer to what had come back.
    pub(crate) fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }
}

fn connect(
    client: TcpStream,
    server: SocketAddr,
    delay: Duration,
    clock: &Arc<SystemClock>,
    round_trips: &Arc<AtomicU64>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let turns = Arc::new(Turns {
        server_spoke: AtomicBool::new(true),
        round_trips: round_trips.clone(),
    });
    let directions = [
        (Side::Client, client.try_clone()?, server.try_clone()?),
        (Side::Server, server, client),
    ];
    for (from, source, target) in directions {
        let (sender, receiver) = channel();
        let (turns, reader, writer) = (turns.clone(), clock.clone(), clock.clone());
        std::thread::spawn(move || read(source, from, &turns, delay, &reader, &sender));
        std::thread::spawn(move || write(target, &writer, &receiver));
    }
    Ok(())
}

fn read(
    mut source: TcpStream,
    from: Side,
    turns: &Turns,
    delay: Duration,
    clock: &SystemClock,
    target: &Sender<Chunk>,
) {
    let mut buffer = vec![0; 256 << 10];
    while let Ok(length @ 1..) = source.read(&mut buffer) {
        match from {
            Side::Client if turns.server_spoke.swap(false, Ordering::Relaxed) => {
                turns.round_trips.fetch_add(1, Ordering::Relaxed);
            }
            Side::Client => {}
            Side::Server => turns.server_spoke.store(true, Ordering::Relaxed),
        }
        let chunk = Chunk {
            bytes: buffer[..length].to_vec(),
            due: clock.monotonic() + delay,
        };
        if target.send(chunk).is_err() {
            return;
        }
    }
}

fn write(mut target: TcpStream, clock: &SystemClock, chunks: &Receiver<Chunk>) {
    for chunk in chunks {
        std::thread::sleep(chunk.due.saturating_sub(clock.monotonic()));
        if target.write_all(&chunk.bytes).is_err() {
            break;
        }
    }
    // The other end has ended, or cannot be reached any more.
    let _ = target.shutdown(Shutdown::Both);
}
