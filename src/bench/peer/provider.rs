//! A provider's server: takes transactions, once each.

use std::rc::Rc;

use hyper::StatusCode;

use super::{Desk, Reply, answer_next, book::now_us, reading};

/// The id that a provider's server gives to the Task of a referral.
fn task_id(number: u32) -> String {
    format!("t{number}")
}

/// A transaction comes to provider `n`. None where it is not one that is known here.
pub(super) fn delivered(desk: &Rc<Desk>, n: usize, body: &[u8]) -> Option<Reply> {
    let at = now_us();
    if desk.out.borrow().get(n).is_some_and(|until| at < *until) {
        return Some(Reply::of(StatusCode::SERVICE_UNAVAILABLE));
    }
    let read = reading::transaction(body)?;
    if desk.is_of_this_run(&read.identifier) {
        let number = read.fate.number;
        let mut book = desk.book.borrow_mut();
        book.wrongs.misplaced += u64::from(desk.plan.inbox_of(number) != n);
        if book.arrived(read.fate, read.task, at) && read.fate.answers == 0 {
            desk.close(number);
        }
    }
    Some(Reply::with(StatusCode::OK, created(&read)))
}

/// Whether a Task of Onward's is here: `GET Task?identifier=…`
pub(super) fn looked_for(desk: &Desk, query: &str) -> Option<Reply> {
    let task = reading::in_query(query)?;
    let found = desk.book.borrow().number_of(task).map(|number| {
        format!(
            "{{\"fullUrl\":\"urn:uuid:{task}\",\"resource\":{{\"resourceType\":\"Task\",\"id\":\"{}\",\"meta\":{{\"versionId\":\"1\"}},\
             \"identifier\":[{{\"system\":\"urn:ietf:rfc:3986\",\"value\":\"urn:uuid:{task}\"}}],\"status\":\"received\",\
             \"intent\":\"order\"}}}}",
            task_id(number)
        )
    });
    Some(Reply::with(StatusCode::OK, searchset(found)))
}

pub(super) fn searchset(entry: Option<String>) -> String {
    format!("{{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"entry\":[{}]}}", entry.unwrap_or_default())
}

/// The answer to a transaction.
fn created(read: &reading::Delivered) -> String {
    let entries: Vec<String> = read
        .entries
        .iter()
        .map(|(kind, id)| {
            let id = id.clone().unwrap_or_else(|| task_id(read.fate.number));
            format!(
                "{{\"response\":{{\"status\":\"201 Created\",\"location\":\"{kind}/{id}/_history/1\",\"etag\":\"W/\\\"1\\\"\"}}}}"
            )
        })
        .collect();
    format!("{{\"resourceType\":\"Bundle\",\"type\":\"transaction-response\",\"entry\":[{}]}}", entries.join(","))
}

/// The record of a referral shows its newest status: its provider goes on, or its loop is closed.
pub(super) fn go_on(desk: &Rc<Desk>, number: u32, answers: u8, shown: usize) {
    if shown > usize::from(answers) {
        desk.close(number);
    } else {
        answer_next(desk, number, shown - 1);
    }
}
