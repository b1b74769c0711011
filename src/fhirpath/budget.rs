//! What one evaluation may cost: whatever an expression and a resource look like, it ends soon.

use super::EvalError;

/// Steps that one evaluation may take: elements looked at, items compared.
pub(super) const STEPS_MAX: usize = 2_000_000;

/// Items that one collection may hold.
pub(super) const ITEMS_MAX: usize = 100_000;

/// Bytes of a text that an expression makes.
pub(super) const TEXT_MAX_BYTES: usize = 1024 * 1024;

/// How deep a resource may be.
pub(super) const DEPTH_MAX: usize = 200;

/// What is left.
#[derive(Debug)]
pub(super) struct Budget {
    steps: usize,
    depth: usize,
}

// === impl Budget ===

impl Budget {
    pub(super) fn new(steps: usize) -> Self {
        Self { steps: steps.min(STEPS_MAX), depth: 0 }
    }

    /// How many steps are left.
    pub(super) fn left(&self) -> usize {
        self.steps
    }

    /// Takes so many steps.
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), EvalError> {
        self.steps = self.steps.checked_sub(steps).ok_or(EvalError::TooManySteps)?;
        Ok(())
    }

    /// For a text of so many bytes that is made or searched.
    pub(super) fn text(&mut self, bytes: usize) -> Result<(), EvalError> {
        if bytes > TEXT_MAX_BYTES {
            return Err(EvalError::TooGreat);
        }
        self.spend(1 + bytes / 8)
    }

    /// One level down; `up` comes back.
    pub(super) fn deeper(&mut self) -> Result<(), EvalError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(EvalError::TooGreat) } else { Ok(()) }
    }

    /// One level up.
    pub(super) fn up(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
}
