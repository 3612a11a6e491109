//! Pacing against models of Salla's limiter, for simulated hours in milliseconds.
//!
//! Every scenario counts two things: refusals (429), which must not happen, and the
//! time taken in relation to the floor, the least that the limiter allows.

mod limiter;
mod losses;
mod properties;
mod rules;
mod scenarios;
mod short_imports;
mod simulation;
mod workload;
