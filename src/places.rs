//! Where postcodes lie: what a trust's own table says of each, and coarse centres of outward codes and postcode areas where it says
//! nothing. Pure but for the table that is compiled in.

mod centre;
mod postcode;
mod table;

pub use centre::{Centre, Precision};
pub use postcode::{Area, NotAnArea, outward_of};
pub use table::{Place, Places, PlacesError, lsoa};
