//! Onward carries a referral from the record system where a clinician wrote it to the organisation that will help the person,
//! and carries every answer back into that record. The modules stand in the order a referral passes them;
//! `src/README.md` is the map.

pub mod broker;
pub mod domain;
