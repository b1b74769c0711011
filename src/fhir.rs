//! FHIR R4 at the edge: what comes in is read within bounds and kept as it was written, what is wrong with it is said
//! with the element's path. A resource is a `serde_json::Value` with the sender's key order and lexical decimals; there are no
//! typed models, because a model loses what it does not know.

pub mod bundle;
pub mod canonical;
pub mod consent;
pub mod datetime;
pub mod filler_order;
pub mod gate;
pub mod names;
pub mod narrative;
pub mod negotiate;
pub mod nhs_number;
pub mod ods_code;
pub mod outcome;
pub(crate) mod path;
pub mod primitive;
pub mod provenance;
pub mod reference;
pub mod sctid;
pub mod task;
pub mod test_data;
pub mod tree;
pub mod xml;

pub use gate::Limits;
pub use nhs_number::NhsNumber;
pub use ods_code::OdsCode;
pub use outcome::{Issue, IssueCode, Severity, outcome};
pub use xml::XmlWriter;
