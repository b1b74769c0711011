//! How gravely a trust takes the rules that the NHS has beside R4; each originating system may have its own.

/// How gravely a rule is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleLevel {
    /// What breaks it is refused.
    Error,
    /// What breaks it is taken, and the sender is told.
    Warning,
    /// It is not looked at.
    Off,
}

/// The level of each rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleLevels {
    /// An NHS number has ten digits of which the last checks the others.
    pub nhs_number: RuleLevel,
    /// The verification status of an NHS number is one of those published.
    pub nhs_number_status: RuleLevel,
    /// An ODS code has the form of one.
    pub ods_code: RuleLevel,
    /// A SNOMED CT code is the identifier of a concept, with the right check digit.
    pub snomed_ct: RuleLevel,
    /// What says when something happened does not lie in the future.
    pub future_date: RuleLevel,
}

// === impl RuleLevel ===

impl RuleLevel {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Off];

    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Off => "off",
        }
    }
}

// === impl RuleLevels ===

impl RuleLevels {
    /// Nothing is looked at: R4 alone.
    pub const OFF: Self = Self::all(RuleLevel::Off);

    /// Each rule at the same level.
    pub const fn all(level: RuleLevel) -> Self {
        Self { nhs_number: level, nhs_number_status: level, ods_code: level, snomed_ct: level, future_date: level }
    }

    /// Each rule by the name that the configuration has for it.
    pub fn by_name(&mut self) -> [(&'static str, &mut RuleLevel); 5] {
        [
            ("nhs-number", &mut self.nhs_number),
            ("nhs-number-status", &mut self.nhs_number_status),
            ("ods-code", &mut self.ods_code),
            ("snomed-ct", &mut self.snomed_ct),
            ("future-date", &mut self.future_date),
        ]
    }
}

impl Default for RuleLevels {
    /// What breaks a rule is refused.
    fn default() -> Self {
        Self::all(RuleLevel::Error)
    }
}
