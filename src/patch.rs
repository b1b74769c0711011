//! A resource as a patch makes it: JSON Patch (RFC 6902) and FHIRPath Patch (R4 fhirpatch.html), bounded. What comes out is not held
//! against R4: an emptied element or a changed id is for the caller to refuse.

mod fhirpath;
mod json;
mod place;
mod weight;

pub use fhirpath::fhirpath_patch;
pub use json::json_patch;

/// The most operations of one patch.
pub const MAX_OPERATIONS: usize = 100;

#[cfg(test)]
mod tests;
