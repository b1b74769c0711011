//! All resources of a type that travel with this client's referrals, where nothing else is asked: gone through referral by referral.

use uuid::Uuid;

use super::{Match, Page, cursor::Cursor, few::not_a_cursor};
use crate::{
    domain::{ReferralId, TaskId},
    http::{
        Shared,
        call::Caller,
        reply::Fault,
        surroundings::{Surroundings, concerning},
    },
    search::Search,
    store::TaskQuery,
};

/// So many referrals are looked at for one page.
const LOOKED_AT_MAX: usize = 200;
const CHUNK: usize = 25;

/// A page of them: in the order of their referrals, and of ids within one.
pub(super) async fn page(
    app: &Shared,
    search: &Search,
    caller: &Caller,
    surroundings: &mut Surroundings<'_>,
) -> Result<Page, Fault> {
    let mut query = TaskQuery { count: CHUNK, ..concerning(&caller.clients) };
    let begun = match search.after.as_deref().map(Cursor::read) {
        None => None,
        Some(Some(Cursor::Within { request, id })) => Some((request, id)),
        Some(_) => return Err(not_a_cursor()),
    };
    // the one that the last page ended in is looked at again, for what it did not give
    query.after = begun.as_ref().map(|(request, _)| TaskId(before(*request)));
    let mut page = Page::default();
    let mut last = search.after.as_deref().and_then(Cursor::read);
    for _ in 0..LOOKED_AT_MAX / CHUNK {
        let requests = app.store.find_requests(query.clone(), None).await?;
        let referrals: Vec<ReferralId> = requests.iter().map(|request| request.referral).collect();
        surroundings.read(&referrals).await?;
        for request in &requests {
            let mut own: Vec<_> =
                surroundings.of(request.referral).iter().filter(|found| found.kind == search.of).collect();
            own.sort_by(|a, b| a.id.cmp(&b.id));
            for found in own {
                let given = begun.as_ref().is_some_and(|(of, id)| *of == request.id && found.id <= *id);
                if given {
                    continue;
                }
                if page.matches.len() == search.count {
                    page.next = last;
                    return Ok(page);
                }
                last = Some(Cursor::Within { request: request.id, id: found.id.clone() });
                page.matches.push(Match::of(request.referral, found.clone()));
            }
        }
        match requests.last() {
            Some(request) if requests.len() == CHUNK => query.after = Some(TaskId(request.id)),
            _ => return Ok(page),
        }
    }
    // the next page begins after what was looked at, whatever of it there was to be found
    page.next = query.after.map(|request| Cursor::Within { request: request.0, id: LAST.to_owned() });
    Ok(page)
}

/// Comes after every logical id.
const LAST: &str = "~";

/// The id that comes before this one.
fn before(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_sub(1))
}
