//! The whole service, wired as the program wires it, against the simulator and a
//! real PostgreSQL.

mod adoption;
mod altered;
mod audit;
#[cfg(feature = "aws-testing")]
mod aws;
mod catching_up;
mod cdc;
mod ceilings;
mod clocks;
mod connect;
mod customers;
mod damaged;
mod databases;
mod drift;
mod emails;
mod faults;
mod frozen;
mod golden;
mod inbox;
mod inside;
mod jobs;
mod keys;
mod letters;
mod logs;
mod memory;
mod observation;
mod other_shop;
mod output;
mod parts;
mod privacy;
mod probe;
mod process;
mod receivers;
mod refreshes;
mod refusals;
mod repair;
mod requests;
mod service;
mod settings;
mod speed;
#[path = "../support/mod.rs"]
mod support;
mod takeover;
mod told;
mod trace;
mod truth;
mod turns;
mod verify;
mod views;
mod web;
