//! Finds PostgreSQL's programs on this machine and runs a private server.
//!
//! The server listens on a Unix socket only, inside a folder that only its owner can enter, so
//! it needs no port and no password. All processes that name the same data directory share it:
//!
//! ```no_run
//! use embedded_postgres::{Search, Server, Settings, Wanted, find_programs};
//!
//! # fn main() -> Result<(), embedded_postgres::Error> {
//! let search = Search::from_lookup(|name| std::env::var_os(name));
//! let programs = find_programs(&search, &Wanted::Any)?;
//! let server = Server::start(Settings::new("state/postgresql", programs))?;
//! let database_url = server.url("postgres");
//! # drop(database_url);
//! # Ok(())
//! # }
//! ```
//!
//! Processes coordinate without a supervisor. A lock file is held exclusively while a process
//! starts or stops the server, and another one is held shared by every user for as long as it
//! runs. The kernel releases both when a process dies, however it dies. A process that leaves and
//! finds no other user of the second lock stops the server. If the last user was killed, the
//! server keeps running, and the next start attaches to it.
//!
//! What it does not do: it does not download PostgreSQL (the script `scripts/get-postgres.sh`
//! does), reads nothing from the environment except what its [children] get, does not upgrade a
//! data directory to another major version, does not listen on TCP, and is not asynchronous:
//! every call blocks, a first start for seconds.

mod account;
pub mod children;
mod cluster;
mod error;
mod locks;
mod log;
mod owner;
mod paths;
mod pid_file;
mod postmaster;
mod programs;
mod server;
mod settings;
mod shared;
mod socket_dir;
mod watchdog;

pub use cluster::made_by;
pub use error::Error;
pub use programs::{Programs, Search, Wanted, find_programs};
pub use server::{LeaveOutcome, Server};
pub use settings::{Durability, Lifetime, Settings};
