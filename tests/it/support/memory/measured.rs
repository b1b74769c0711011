//! First answers, and how many wait.

use std::collections::BTreeMap;

use async_trait::async_trait;
use onward::{
    domain::{
        InboxId, TaskStatus,
        measured::{Day, FirstAnswer},
    },
    store::{MeasuredStore, StoreError},
};

use super::Memory;

#[async_trait]
impl MeasuredStore for Memory {
    async fn full_inboxes(&self, capacities: Vec<(InboxId, u32)>) -> Result<Vec<InboxId>, StoreError> {
        let all = self.all()?;
        let open = |inbox: &InboxId| {
            let tasks = all.tasks.values().map(|row| &row.record);
            tasks.filter(|task| task.inbox == *inbox && !task.state.status.is_terminal()).count()
        };
        let full = capacities.into_iter().filter(|(inbox, most)| open(inbox) >= *most as usize);
        Ok(full.map(|(inbox, _)| inbox).collect())
    }

    async fn answer_days(
        &self,
        inbox: &InboxId,
        after: Option<Day>,
        last: Day,
        count: usize,
    ) -> Result<Vec<(Day, u32)>, StoreError> {
        let mut days = BTreeMap::new();
        for (_, answer) in self.all()?.answers.iter().filter(|(of, _)| of == inbox) {
            *days.entry(answer.day).or_default() += 1;
        }
        let wanted = days.into_iter().filter(|(day, _)| after.is_none_or(|after| *day > after) && *day <= last);
        Ok(wanted.take(count).collect())
    }

    async fn first_answers(
        &self,
        inbox: &InboxId,
        first: Day,
        last: Day,
        count: usize,
    ) -> Result<Vec<FirstAnswer>, StoreError> {
        let all = self.all()?;
        let wanted = |(of, answer): &&(InboxId, FirstAnswer)| of == inbox && (first..=last).contains(&answer.day);
        let mut found: Vec<FirstAnswer> = all.answers.iter().filter(wanted).map(|(_, answer)| *answer).collect();
        found.sort_by_key(|answer| (answer.day, answer.waited_min));
        found.truncate(count);
        Ok(found)
    }

    async fn waiting(&self) -> Result<Vec<(InboxId, u64)>, StoreError> {
        let mut waiting = BTreeMap::new();
        for task in self.all()?.tasks.values().map(|row| &row.record) {
            if matches!(task.state.status, TaskStatus::Requested | TaskStatus::Received) && !task.is_parent() {
                *waiting.entry(task.inbox.clone()).or_default() += 1;
            }
        }
        Ok(waiting.into_iter().collect())
    }
}
