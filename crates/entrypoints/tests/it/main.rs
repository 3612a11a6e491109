//! The whole service, wired as the program wires it, against the simulator and a
//! real PostgreSQL.

mod adoption;
mod altered;
mod audit;
#[cfg(feature = "aws-testing")]
mod aws;
mod catching_up;
mod cdc;
mod clocks;
mod connect;
mod customers;
mod damaged;
mod databases;
mod dead_letters;
mod drift;
mod emails;
mod faults;
mod frozen;
mod golden;
mod inbox;
mod inside;
mod jobs;
mod keys;
mod logs;
mod memory;
mod monitoring_server;
mod notifications;
mod other_shop;
mod output;
mod partial_runs;
mod privacy;
mod probe;
mod process;
mod progress;
mod refreshes;
mod refusals;
mod reprocess;
mod requests;
mod service;
mod settings;
mod slices;
mod speed;
mod starting;
#[path = "../support/mod.rs"]
mod support;
mod takeover;
mod trace;
mod truth;
mod turns;
mod verify;
mod views;
mod web;
mod webhook_receivers;
