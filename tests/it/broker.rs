//! The behaviour of every `Broker`.
