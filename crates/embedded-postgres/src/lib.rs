//! Finds PostgreSQL's programs on this machine and runs a private server.
//!
//! The server listens on a Unix socket only, inside a folder that nobody else
//! may enter, so it needs no port and no password. It is shared by every
//! process that asks for the same data directory:
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
//! How processes agree, without a process of their own that watches them: a
//! lock file is held exclusively while somebody starts or stops the server, and
//! another one is held shared by every user for as long as it lives. The kernel
//! releases both when a process dies, however it dies. Whoever leaves and finds
//! nobody else on the second lock stops the server. A last user that was killed
//! could not do so: the server then goes on and the next start attaches to it.
//!
//! What it refuses to do: it does not download PostgreSQL (the script
//! `scripts/get-postgres.sh` does), reads nothing from the environment but what
//! its [children] are given, does not upgrade a data directory to another major
//! version, does not listen on TCP, and is not asynchronous: every call blocks, a
//! first start for seconds.

mod account;
pub mod children;
mod cluster;
mod error;
mod inspection;
mod locks;
mod log;
#[cfg(target_os = "linux")]
mod namespace;
mod opening;
mod owner;
mod patience;
mod pid_file;
mod places;
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
pub use server::{Departure, Server};
pub use settings::{Durability, Lifetime, Settings};
