//! Open referrals that bear a name.

use super::{StoredResource, TaskRecord};

/// So many referrals that bear one name are looked at: a name that everybody has would be everything there is.
pub const NAMESAKES_MAX: u64 = 200;

/// Rows of one Task after another, a Task a line.
pub(super) fn together(rows: Vec<(TaskRecord, StoredResource)>) -> Vec<(TaskRecord, Vec<StoredResource>)> {
    let mut all: Vec<(TaskRecord, Vec<StoredResource>)> = Vec::new();
    for (task, stored) in rows {
        match all.last_mut() {
            Some((last, resources)) if last.id == task.id => resources.push(stored),
            _ => all.push((task, vec![stored])),
        }
    }
    all
}
