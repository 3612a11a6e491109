//! The whole service, wired as the program wires it, against the simulator and a
//! real PostgreSQL.

mod faults;
mod process;
mod service;
mod speed;
mod truth;
