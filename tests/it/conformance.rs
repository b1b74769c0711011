//! Inputs that nobody here wrote, with the verdicts that others came to: `../shared/corpus` beside the project. Where the folder is
//! absent, these say so and check nothing.

mod fhirpath;
mod second;
mod structure;
mod ukcore;
mod xml;
