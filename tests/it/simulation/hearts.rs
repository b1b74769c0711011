//! What a store knows of the processes that share it: when each last said that it lives, and what each holds. Leases of one that
//! says nothing are ended by the others, as PostgreSQL does it.

use std::{collections::BTreeMap, sync::Mutex};

use onward::{
    domain::{Side, TaskId},
    store::{BEAT_MISSED, DEAD_AFTER},
};
use tokio::time::Instant;

use crate::support::memory::Memory;

/// See the module's documentation.
#[derive(Default)]
pub struct Hearts {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    beats: BTreeMap<u64, Instant>,
    /// Who holds a lane, and under which lease.
    held: BTreeMap<(TaskId, Side), (u64, u64)>,
}

/// What a process knows of itself.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    number: u64,
    beat: Instant,
}

impl Life {
    /// Its number, while nobody can have taken it for dead.
    pub fn sure(&self) -> Option<u64> {
        (self.beat.elapsed() < BEAT_MISSED).then_some(self.number)
    }
}

impl Hearts {
    /// One that has nothing in its hands begins.
    pub fn begin(&self, asked: Instant) -> Life {
        let mut inner = self.inner.lock().unwrap();
        inner.last += 1;
        let life = Life { number: inner.last, beat: asked };
        inner.beats.insert(life.number, asked);
        life
    }

    /// One says that it lives, which it asked to be noted at `asked`. One that was ended meanwhile begins anew.
    pub fn beat(&self, life: Life, asked: Instant) -> Life {
        if let Some(beat) = self.inner.lock().unwrap().beats.get_mut(&life.number) {
            *beat = asked.max(*beat);
            return Life { beat: asked, ..life };
        }
        self.begin(asked)
    }

    /// A lane was leased.
    pub fn take(&self, life: Life, task: TaskId, side: Side, lease: u64) {
        self.inner.lock().unwrap().held.insert((task, side), (life.number, lease));
    }

    /// Ends what those hold that did not beat. How many lanes that were.
    pub fn end_the_dead(&self, memory: &Memory) -> u64 {
        let mut inner = self.inner.lock().unwrap();
        inner.beats.retain(|_, beat| beat.elapsed() <= DEAD_AFTER);
        inner.free(memory)
    }

    /// One ends, and leaves nothing behind.
    pub fn end(&self, life: Life, memory: &Memory) {
        let mut inner = self.inner.lock().unwrap();
        inner.beats.remove(&life.number);
        inner.free(memory);
    }
}

impl Inner {
    fn free(&mut self, memory: &Memory) -> u64 {
        let beats = &self.beats;
        let mut freed = 0;
        self.held.retain(|(task, side), (life, lease)| {
            let lives = beats.contains_key(life);
            if !lives {
                freed += u64::from(memory.end_lease(*task, *side, *lease));
            }
            lives
        });
        freed
    }
}
