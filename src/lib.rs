//! Onward carries a referral from the record system where a clinician wrote it to the organisation that will help the person,
//! and carries every answer back into that record. `src/README.md` is the map.

// the way of a referral
pub mod auth;
pub mod conversation;
pub mod intake;
pub mod profiles;
pub mod route_sets;
pub mod routing;

pub mod delivery;
pub mod lanes;
pub mod preview;
pub mod status;
pub mod subscriptions;
pub mod writeback;

// where people can be referred to
pub mod directory;

// who is told of what waits for a person
pub mod alerts;
#[cfg(feature = "pages")]
pub mod notices;

// what became of it all
pub mod reports;

// whether another system can be reached, before somebody is referred there
pub mod onboarding;

// what the stages stand on
pub mod admission;
pub mod broker;
pub mod client;
pub mod definitions;
pub mod domain;
pub mod fhir;
pub mod fhirpath;
pub mod health;
pub mod patch;
pub mod places;
pub mod resolve;
pub mod search;
pub mod store;

// the way in, and running it
pub mod cli;
pub mod config;
pub mod http;
pub mod service;
pub mod telemetry;
pub mod tls;
pub mod toml_reader;

// people who use it
pub mod people;
#[cfg(feature = "pages")]
pub mod web;

// seen working, and measured
pub mod bench;
pub mod demo;
