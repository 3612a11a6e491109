//! The engine against ports in memory: what it decides, without Salla, PostgreSQL or
//! real time.

mod memory;
mod scripted;
mod stories;
