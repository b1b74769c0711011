//! The behavioural suite of the `Store` port. Every behaviour is written once, over the port alone, and runs against every
//! implementation: a new one is one line `behaviours!(name, maker);` at the end of this file.

use std::{any::Any, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use onward::{
    domain::{
        Actor, Event, ManualClock, ReferralId, Side, TaskId, TaskStatus, WakeUp, deadline::Deadlines, task::TaskState,
    },
    store::{
        Append, Appended, Attempt, COLLEAGUES_MAX, Claim, Due, LaneHead, LaneState, NewEvent, NewReferral, NewResource,
        NewTask, Settle, Settled, Shares, Store, Submission, Submit, Submitted, TaskRecord,
    },
};
use uuid::Uuid;

use crate::support::memory::Memory;

mod colleagues;
mod conversation;
mod directory;
mod endpoints;
mod heard;
mod journal;
mod lanes;
mod measured;
mod namesakes;
mod notices;
mod outbox;
mod people;
pub mod postgres;
mod read;
mod routed;
mod routes;
mod search;
mod several;
mod sqlite;
mod steps;
mod submit;
mod subscriptions;
mod tokens;
mod trouble;

/// A fresh, empty store and the clock it goes by.
pub struct Bench {
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
    /// Makes another like it.
    pub again: fn() -> Bench,
    /// What must live as long as the store, such as its folder.
    _keep: Box<dyn Any + Send + Sync>,
}

impl Bench {
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<ManualClock>,
        again: fn() -> Self,
        keep: impl Any + Send + Sync,
    ) -> Self {
        Self { store, clock, again, _keep: Box::new(keep) }
    }
}

/// The one that simulations run over: what it passes here, it stands for there.
fn in_memory() -> Bench {
    let clock = Arc::new(ManualClock::at(start()));
    Bench::new(Arc::new(Memory::new(clock.clone())), clock, in_memory, ())
}

/// Runs every behaviour against one implementation.
macro_rules! behaviours {
    ($name:ident, $make:path) => {
        behaviours!(@ $name, $make;
            submit: stores_everything_and_leases_the_wake_ups, the_same_again_is_answered_and_not_stored,
                other_content_differs_and_stores_nothing, one_that_differs_keeps_all_out, several_in_one_commit,
                known_and_new_in_one_request, what_was_submitted_is_found_by_its_key,
                the_same_key_twice_in_one_request, systems_do_not_share_keys,
                a_hundred_at_once_store_one;
            steps: a_step_is_written_whole, a_stale_step_stores_nothing, a_task_nobody_knows_has_moved,
                answers_and_bookkeeping_are_told_apart, a_refused_step_does_not_harm_its_neighbours,
                racing_steps_lose_nothing, tries_are_kept_in_order, load_of_submits_and_steps;
            lanes: a_lease_is_exclusive_until_it_ends, one_of_many_gets_the_lane, an_idle_lane_is_not_leased,
                an_old_lease_settles_nothing, a_settled_message_is_not_settled_again, done_goes_on_with_the_next,
                done_goes_on_with_what_the_step_added, the_last_done_ends_the_lease, a_deferred_head_blocks_the_lane,
                what_stands_behind_a_waiting_head_wakes_nobody,
                a_dead_head_lets_the_lane_go_on, an_answer_settles_from_outside, memory_is_kept, sides_are_independent,
                a_copy_is_watched_by_one, a_copy_is_planned_with_a_step;
            outbox: only_heads_are_claimed, a_claim_is_exclusive_and_bounded, published_is_published_again_if_not_done,
                what_is_published_again_waits_for_its_lane, a_late_confirmation_does_not_undo_a_deferral,
                given_up_by_the_broker_is_pending_again, it_says_when_the_next_is_due, a_dead_letter_is_replayed_once,
                a_replay_names_its_own_task, concurrent_claims_do_not_share,
                what_is_due_and_not_handed_to_the_broker_is_told_since_when, what_is_tried_in_vain_is_told_and_no_hiccup;
            endpoints: a_breaker_is_set_over_its_own_version_only, one_of_many_sets_a_breaker,
                what_is_put_aside_waits_until_it_is_old_or_fetched,
                what_was_put_aside_behind_a_head_that_was_not_goes_on_with_it,
                nothing_is_put_aside_where_messages_are_let_through, an_early_claim_fetches_each_message_once,
                destinations_take_turns, more_destinations_than_places_all_get_their_turn, copies_take_turns, a_copy_that_could_not_be_taken_is_given_back,
                what_was_not_tried_waits_without_a_try;
            read: versions_and_parties, resources_by_type_and_id, what_a_list_says_of_referrals, a_referral_with_all_that_travels_with_it, tasks_by_what_one_has_in_hand,
                tasks_by_the_request_that_something_came_of,
                requests_by_identifier_and_id, referrals_by_what_is_beside_them_and_by_their_names, it_is_ready_until_it_is_closed,
                one_that_beats_keeps_what_it_holds;
            namesakes: open_ones_are_found_by_name_and_inbox_the_newest_first,
                each_comes_with_its_request_and_persons_as_they_are_now,
                of_a_name_that_everybody_has_only_the_newest_are_looked_at;
            measured: a_first_answer_is_noted_once, a_step_that_is_not_stored_notes_nothing, answers_are_found_by_their_days,
                those_that_wait_are_counted_by_inbox;
            routed: they_come_in_the_order_in_which_they_were_stored, what_was_sent_is_given_as_it_came,
                what_its_sender_has_a_name_for_is_given_as_it_was_at_first;
            journal: lines_are_found_by_when_what_who_and_where,
                tasks_come_with_when_their_referral_was_stored_and_with_what_was_answered;
            trouble: dead_letters_are_found_and_paged, those_of_a_task_come_in_the_order_of_their_seq,
                a_discarded_one_is_dead_no_more_and_never_sent, a_deadline_is_claimed_when_it_is_due_by_one_at_a_time,
                claims_of_deadlines_do_not_share, tasks_in_trouble_are_told_until_somebody_sees_to_them,
                an_alert_is_told_once_it_was_settled, a_standing_alert_is_raised_once_until_it_ends,
                an_alert_is_stored_with_its_step_or_not_at_all;
            routes: versions_are_numbered_and_never_change, the_second_of_two_who_apply_is_told,
                one_of_many_who_apply_at_once_is_stored, an_older_version_becomes_active_again,
                what_is_too_large_is_not_stored, an_activation_ends_what_was_told_of_the_one_before;
            search: finds_what_a_naive_filter_finds;
            several: a_parent_and_its_parts_are_kept, what_is_a_parts_own_is_seen_by_its_parties_alone,
                an_inbox_is_full_with_its_last_open_task, of_parts_that_end_at_once_the_parent_hears_of_each,
                a_step_may_make_a_further_task, a_step_that_is_refused_makes_none;
            subscriptions: one_is_kept_rewritten_and_forgotten, one_is_attended_to_by_one_at_a_time,
                events_are_numbered_without_gaps_whatever_comes_twice;
            conversation: a_new_version_comes_with_a_step, a_state_is_kept_whole, what_a_sender_calls_a_resource_is_kept,
                a_key_is_taken_once, what_is_one_tasks_concerns_its_parties, steps_of_several_are_stored_together,
                it_knows_whether_a_try_is_under_way;
            notices: notices_are_kept_over_their_version_only, of_many_who_keep_notices_at_once_one_does;
            heard: what_was_said_of_tasks_is_told_in_its_order, what_was_looked_at_stays_so_for_each_provider;
            colleagues: who_logs_in_is_known_by_each_of_her_names, who_was_seen_longest_ago_is_forgotten_with_the_next,
                the_names_of_several_providers_are_told_once_the_one_seen_last_first;
            tokens: a_secret_is_the_same_for_all_who_want_it, an_assertion_is_used_once, of_many_who_show_the_same_assertion_one_is_let_in,
                a_token_holds_until_it_ends_or_is_revoked, what_has_run_out_is_forgotten;
            directory: an_entry_has_versions_that_never_change, all_or_none_of_a_write_is_stored,
                what_changed_is_told_in_order, an_entry_of_a_source_is_there_once, of_many_who_write_at_once_one_does,
                what_is_too_much_for_a_directory_is_not_stored, a_proposal_is_kept_and_found,
                a_proposal_is_decided_once_and_with_what_it_writes, of_many_who_decide_at_once_one_does,
                no_provider_has_more_proposals_waiting_than_may_be,
                what_is_rewritten_is_another_text_in_the_same_place_or_nothing_is;
            people: a_session_is_found_by_its_secret_until_it_is_ended, an_issuer_ends_what_it_has_let_in, of_too_many_sessions_the_one_left_longest_ends,
                a_login_is_taken_once_and_in_time, an_account_is_there_once_and_written_over_its_version,
                of_many_who_write_an_account_one_does, who_acts_with_an_account_that_has_changed_changes_nothing,
                an_account_that_ended_is_forgotten_but_for_what_its_person_is_called, what_was_tried_in_vain_is_counted,
                what_is_done_with_an_account_is_noted_where_it_was_done, a_broken_glass_is_open_for_its_time_and_kept, what_is_over_is_swept;
        );
    };
    (@ $name:ident, $make:path; $($room:ident: $($behaviour:ident),+;)+) => {
        mod $name {
            $(mod $room {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $behaviour() {
                        // where there is no server, there is no bench
                        if let Some(bench) = Option::<crate::store::Bench>::from($make()) {
                            crate::store::$room::$behaviour(bench).await;
                        }
                    }
                )+
            })+
        }
    };
}

/// When every test begins.
pub fn start() -> Timestamp {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

pub fn secs(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);

/// A referral for the inbox `life-rooms`, with a Patient and one Task whose first event goes down the delivery lane.
pub fn referral(key: &str) -> NewReferral {
    referral_for(key, &["life-rooms"])
}

pub fn referral_for(key: &str, inboxes: &[&str]) -> NewReferral {
    let request = Uuid::now_v7();
    let patient = Uuid::now_v7();
    NewReferral {
        id: ReferralId::mint(),
        key: key.to_owned(),
        identifier: Some(format!("https://epr.example/placer|{key}")),
        digest: digest(key),
        request,
        origin: Some(format!("origin-{key}")),
        route_set: "2026-03-01".into(),
        decision: format!(r#"{{"rule":"{key}"}}"#),
        resources: vec![
            resource("ServiceRequest", request, &format!(r#"{{"about":"{key}"}}"#)),
            resource("Patient", patient, r#"{"active":true}"#),
        ],
        tasks: inboxes.iter().map(|inbox| task_for(inbox)).collect(),
    }
}

pub fn resource(kind: &str, id: Uuid, body: &str) -> NewResource {
    NewResource { kind: kind.into(), id, origin: None, names: vec![], body: body.into() }
}

/// A Task for an inbox whose provider bears the same name.
pub fn task_for(inbox: &str) -> NewTask {
    NewTask {
        id: TaskId::mint(),
        inbox: inbox.parse().unwrap(),
        provider: inbox.parse().unwrap(),
        part_of: None,
        terms: Default::default(),
        resources: vec![],
        deadlines: Deadlines::default(),
        beside: None,
        events: vec![NewEvent {
            event: Event::Submitted {
                route: None,
                route_set: "2026-03-01".into(),
                inbox: inbox.parse().unwrap(),
                instead_of: None,
                beside: None,
            },
            actor: Actor::System("mersey-epr".parse().unwrap()),
            body: Some(r#"{"status":"requested"}"#.into()),
            lanes: vec![Side::Delivery],
        }],
    }
}

/// Stands for the SHA-256 of some content.
pub fn digest(content: &str) -> [u8; 32] {
    let mut out = [0; 32];
    for (i, b) in content.bytes().enumerate() {
        out[i % 32] ^= b.rotate_left(u32::try_from(i / 32).unwrap());
    }
    out
}

pub fn submission(referrals: Vec<NewReferral>) -> Submission {
    Submission {
        id: Uuid::now_v7(),
        system: "mersey-epr".parse().unwrap(),
        content_type: "application/fhir+json".into(),
        original: Bytes::from_static(b"{ as it was sent }"),
        referrals,
        answer: "[]".into(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        asked_by: None,
    }
}

/// What a submit stored; anything else is a failure.
#[track_caller]
pub fn stored(submit: Submit) -> (Vec<Submitted>, Vec<WakeUp>) {
    match submit {
        Submit::Stored(submitted, wake_ups) => (submitted, wake_ups),
        Submit::Differs(index) => panic!("the referral at {index} differs"),
    }
}

/// Stores one referral and returns its only Task.
pub async fn one_task(b: &Bench, key: &str) -> TaskRecord {
    let (submitted, _) = stored(b.store.submit(submission(vec![referral(key)])).await.unwrap());
    task(b, submitted[0].tasks[0]).await
}

pub async fn task(b: &Bench, id: TaskId) -> TaskRecord {
    b.store.task(id).await.unwrap().expect("the task is there")
}

/// An event that says little, with a body and lanes as wished.
pub fn event(body: Option<&str>, lanes: &[Side]) -> NewEvent {
    NewEvent {
        event: Event::DeliveryDelayed,
        actor: Actor::Onward,
        body: body.map(str::to_owned),
        lanes: lanes.to_vec(),
    }
}

/// A step that changes nothing yet, decided on what `task` shows.
pub fn step(task: &TaskRecord) -> Append {
    Append::to(task)
}

/// Puts another message into lanes of a Task.
pub async fn add(b: &Bench, id: TaskId, lanes: &[Side]) -> Appended {
    let now = task(b, id).await;
    b.store.append(Append { events: vec![event(Some("{}"), lanes)], ..step(&now) }).await.unwrap()
}

/// A lane that must be free and have something due.
pub struct Held {
    pub lease: u64,
    pub head: LaneHead,
    pub task: TaskRecord,
}

pub async fn lease(b: &Bench, id: TaskId, side: Side) -> Held {
    match b.store.lease_lane(id, side, MINUTE).await.unwrap() {
        LaneState::Leased { lease, head, task } => Held { lease, head, task: *task },
        other => panic!("the lane should have been free and due, but it is {other:?}"),
    }
}

impl Held {
    /// A step that settles the message at the lane's head under this lease.
    pub fn settle(&self, side: Side, outcome: Settled) -> Append {
        let settle = Settle { side, seq: self.head.seq, lease: Some(self.lease), extend: MINUTE, outcome };
        Append { settle: Some(settle), ..step(&self.task) }
    }
}

pub fn done() -> Settled {
    Settled::Done { memory: None }
}

pub fn deferred(until: Timestamp) -> Settled {
    Settled::Deferred { until, memory: None, why: "503 from the provider".into() }
}

pub fn dead() -> Settled {
    Settled::Dead { why: "404 from the provider".into() }
}

pub fn attempt(side: Side, of: u64, result: &str, at: Timestamp) -> Attempt {
    Attempt {
        side,
        of,
        at,
        duration: Duration::from_micros(1234),
        endpoint: "https://provider.example/fhir".into(),
        result: result.into(),
        why: (result != "delivered").then(|| "503".into()),
    }
}

/// Claims what is due for a minute; what was published counts as lost after an hour.
pub async fn claim(b: &Bench) -> Due {
    claim_at_most(b, 1000).await
}

/// The same, so many at the most.
pub async fn claim_at_most(b: &Bench, limit: usize) -> Due {
    b.store.claim_due(at_most(limit)).await.unwrap()
}

pub fn at_most(limit: usize) -> Claim {
    Claim { shares: Shares::even(limit, limit), lease: MINUTE, republish_after: HOUR }
}

/// The (task, seq) of wake-ups.
pub fn heads(wake_ups: &[WakeUp]) -> Vec<(TaskId, u64)> {
    let mut heads: Vec<_> = wake_ups.iter().map(|w| (w.task, w.seq)).collect();
    heads.sort();
    heads
}

/// A state with nothing but a status.
pub fn state(status: TaskStatus) -> TaskState {
    TaskState { status, ..TaskState::new() }
}

behaviours!(in_memory, crate::store::in_memory);
behaviours!(on_sqlite, crate::store::sqlite::bench);
behaviours!(on_postgres, crate::store::postgres::bench);
