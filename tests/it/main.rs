//! The one integration test binary; a module a capability.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod amqp;
mod api;
mod artefacts;
mod attack;
mod bench;
mod bounds;
mod broker;
mod broker_away;
mod chaos;
mod cli;
mod clients;
mod cluster;
mod conformance;
mod conversation;
mod crash;
mod delivery;
mod directory;
mod endpoints;
mod fuzz;
mod layers;
mod loops;
mod measured;
#[cfg(feature = "pages")]
mod notices;
mod oauth;
mod open_referral;
mod outbound;
mod overload;
#[cfg(feature = "pages")]
mod pages;
#[cfg(feature = "pages")]
mod people;
mod replicas;
mod routes_schema;
mod seal;
mod secrets;
mod several;
mod silence;
mod simulation;
mod stop;
mod store;
mod support;
mod surroundings;
mod tls;
mod writeback;
