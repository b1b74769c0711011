//! The demonstration: Onward between simulated record systems and simulated providers, over real HTTP.

pub mod caller;
pub mod double;
