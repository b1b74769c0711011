//! What referrals are held against, by the configuration.

use crate::{
    config::{Config, Registry},
    profiles::{Validator, load},
};

/// Profiles cannot be used as the configuration wants it. Each line names what and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ProfilesUnusable(Vec<String>);

/// Reads the folders of `[profiles] extra`, and sees that every profile that a system's resources must conform to is known.
///
/// # Errors
/// [`ProfilesUnusable`]: everything that is wrong.
pub fn validator(config: &Config) -> Result<Validator, ProfilesUnusable> {
    let told = |errors: Vec<load::LoadError>| {
        ProfilesUnusable(errors.iter().map(|error| format!("[profiles] extra: {error}")).collect())
    };
    let validator = load::validator(&config.profiles.extra).map_err(told)?;
    all_known(&validator, &config.registry)?;
    Ok(validator)
}

/// Whether every profile that a registry names is known.
///
/// # Errors
/// [`ProfilesUnusable`]: those that are not.
pub fn all_known(validator: &Validator, registry: &Registry) -> Result<(), ProfilesUnusable> {
    let mut unknown = Vec::new();
    for system in registry.systems.values() {
        for profile in system.profiles.iter().filter(|profile| !validator.knows(profile)) {
            unknown.push(format!(
                "system {}: profiles: {profile} is in no folder of [profiles] extra: add the folder, or take the profile out",
                system.id
            ));
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(ProfilesUnusable(unknown)) }
}
