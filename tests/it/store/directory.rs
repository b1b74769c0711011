//! The directory: versions that never change, revisions without gaps or doubles, one entry for each that a source knows, and
//! proposals that are decided once.

use onward::{
    domain::{EntryKind, ProposalStatus},
    store::{
        DIRECTORY_BODY_MAX_BYTES, DIRECTORY_SOURCE_MAX_BYTES, DIRECTORY_WRITES_MAX, Decided, Decision, DirectoryEntry,
        DirectoryError, DirectoryRewrite, DirectoryWrite, NewProposal, PROPOSALS_PENDING_MAX, Proposal, ProposalQuery,
        Sourced,
    },
};

use super::*;

const SERVICE: EntryKind = EntryKind::HealthcareService;

fn new(says: &str) -> DirectoryWrite {
    DirectoryWrite {
        kind: SERVICE,
        id: Uuid::now_v7(),
        over: 0,
        source: None,
        body: format!(r#"{{"resourceType":"HealthcareService","name":"{says} é \ud83c\udf3b \u0000"}}"#),
        by: "kim".into(),
    }
}

fn from(source: &str, name: &str) -> Option<Sourced> {
    Some((source.to_owned(), name.to_owned()))
}

fn over(before: &DirectoryEntry, says: &str) -> DirectoryWrite {
    DirectoryWrite {
        kind: before.kind,
        id: before.id,
        over: before.version,
        source: before.source.clone(),
        ..new(says)
    }
}

async fn write(b: &Bench, writes: Vec<DirectoryWrite>) -> Vec<DirectoryEntry> {
    b.store.write_directory(writes).await.unwrap()
}

async fn one(b: &Bench, write_one: DirectoryWrite) -> DirectoryEntry {
    write(b, vec![write_one]).await.pop().unwrap()
}

async fn changes(b: &Bench, after: u64, count: usize) -> Vec<(u64, Uuid, u64)> {
    let changes = b.store.directory_changes(after, count).await.unwrap();
    changes.iter().map(|entry| (entry.revision, entry.id, entry.version)).collect()
}

pub async fn an_entry_has_versions_that_never_change(b: Bench) {
    assert_eq!(b.store.directory_revision().await.unwrap(), 0);
    let asked = DirectoryWrite { source: from("https://s.example", "7"), ..new("one") };
    let first = one(&b, asked.clone()).await;
    let DirectoryWrite { kind, id, source, body, by, .. } = asked;
    assert_eq!(first, DirectoryEntry { kind, id, version: 1, revision: 1, last_updated: start(), source, by, body });
    b.clock.advance(5);
    let second = one(&b, DirectoryWrite { by: "anna".into(), source: None, ..over(&first, "two") }).await;
    assert_eq!((second.version, second.revision, second.last_updated), (2, 2, start() + secs(5)));
    let read = |version| b.store.directory_entry(SERVICE, id, version);
    assert_eq!(read(None).await.unwrap().as_ref(), Some(&second));
    assert_eq!(read(Some(1)).await.unwrap().as_ref(), Some(&first), "it is as it was");
    assert_eq!(read(Some(2)).await.unwrap().as_ref(), Some(&second));
    for none in [0, 3, u64::MAX] {
        assert_eq!(read(Some(none)).await.unwrap(), None);
    }
    assert_eq!(b.store.directory_versions(SERVICE, id).await.unwrap(), [first, second]);
    assert_eq!(b.store.directory_entry(EntryKind::Location, id, None).await.unwrap(), None, "of another kind");
    assert!(b.store.directory_versions(EntryKind::Location, id).await.unwrap().is_empty());
}

pub async fn all_or_none_of_a_write_is_stored(b: Bench) {
    let first = one(&b, new("first")).await;
    let stale = DirectoryWrite { over: 0, ..over(&first, "stale") };
    let early = DirectoryWrite { over: 3, ..over(&first, "early") };
    for wrong in [stale, early] {
        let refused = b.store.write_directory(vec![new("beside"), over(&first, "second"), wrong]).await;
        assert!(matches!(refused, Err(DirectoryError::Moved { id, .. }) if id == first.id), "{refused:?}");
        assert_eq!(b.store.directory_revision().await.unwrap(), 1);
        assert_eq!(changes(&b, 0, 9).await, [(1, first.id, 1)]);
    }
    // the same twice is one after the other
    let second = over(&first, "second");
    let third = DirectoryWrite { over: 2, ..over(&first, "third") };
    let beside = new("beside");
    let written = write(&b, vec![second, beside.clone(), third]).await;
    let told: Vec<_> = written.iter().map(|entry| (entry.id, entry.version, entry.revision)).collect();
    assert_eq!(told, [(first.id, 2, 2), (beside.id, 1, 3), (first.id, 3, 4)]);
    assert_eq!(changes(&b, 0, 9).await, [(3, beside.id, 1), (4, first.id, 3)]);
    assert_eq!(b.store.directory_versions(SERVICE, first.id).await.unwrap().len(), 3);
    assert_eq!(write(&b, vec![]).await, []);
    assert_eq!(b.store.directory_revision().await.unwrap(), 4);
}

pub async fn what_changed_is_told_in_order(b: Bench) {
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(one(&b, new(&format!("{n}"))).await.id);
    }
    let again = b.store.directory_entry(SERVICE, ids[2], None).await.unwrap().unwrap();
    one(&b, over(&again, "again")).await;
    assert_eq!(b.store.directory_revision().await.unwrap(), 8);
    let all = changes(&b, 0, 100).await;
    let expected: Vec<_> = [(1, 0), (2, 1), (4, 3), (5, 4), (6, 5), (7, 6)]
        .map(|(revision, n)| (revision, ids[n], 1))
        .into_iter()
        .chain([(8, ids[2], 2)])
        .collect();
    assert_eq!(all, expected);
    assert_eq!(changes(&b, 2, 2).await, expected[2..4]);
    assert_eq!(changes(&b, 8, 2).await, []);
    assert_eq!(changes(&b, u64::MAX, 2).await, []);
    let wanted = vec![(SERVICE, ids[5]), (EntryKind::Endpoint, ids[5]), (SERVICE, Uuid::now_v7()), (SERVICE, ids[0])];
    let found = b.store.directory_entries(wanted).await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.id).collect::<Vec<_>>(), [ids[5], ids[0]], "as they were asked for");
}

pub async fn an_entry_of_a_source_is_there_once(b: Bench) {
    let source = "https://s.example";
    let first = one(&b, DirectoryWrite { source: from(source, "a"), ..new("a") }).await;
    let taken = |written: Result<Vec<DirectoryEntry>, DirectoryError>| {
        let Err(DirectoryError::SourceTaken { id, kind }) = written else { panic!("{written:?}") };
        assert_eq!(kind, SERVICE);
        id
    };
    let same = || DirectoryWrite { source: from(source, "a"), ..new("the same") };
    assert_eq!(taken(b.store.write_directory(vec![same()]).await), first.id);
    let twins = [0, 1].map(|_| DirectoryWrite { source: from(source, "twin"), ..new("twin") });
    let eldest = twins[0].id;
    assert_eq!(taken(b.store.write_directory(twins.to_vec()).await), eldest);
    assert_eq!(b.store.directory_revision().await.unwrap(), 1);
    // of another kind, at another source, by another name it is another entry
    let others = vec![
        DirectoryWrite { kind: EntryKind::Location, ..same() },
        DirectoryWrite { source: from("https://t.example", "a"), ..new("t") },
        DirectoryWrite { source: from(source, "A"), ..new("A") },
    ];
    let others = write(&b, others).await;
    let names = ["A", "none", "a"].map(str::to_owned).to_vec();
    let found = b.store.directory_sourced(SERVICE, source, names).await.unwrap();
    assert_eq!(found, [others[2].clone(), first.clone()]);
    let locations = b.store.directory_sourced(EntryKind::Location, source, vec!["a".into()]).await.unwrap();
    assert_eq!(locations, [others[0].clone()]);
    // it keeps its name with a further version, and one that lets go of its name leaves it to another
    let second = one(&b, over(&first, "still a")).await;
    assert_eq!(taken(b.store.write_directory(vec![same()]).await), first.id);
    let hands_over = vec![DirectoryWrite { source: None, ..over(&second, "none") }, same()];
    let next = write(&b, hands_over).await[1].id;
    assert_eq!(taken(b.store.write_directory(vec![same()]).await), next);
}

pub async fn of_many_who_write_at_once_one_does(b: Bench) {
    let first = one(&b, new("first")).await;
    let racing: Vec<_> = (0..12)
        .map(|n| {
            let (store, write) = (b.store.clone(), over(&first, &format!("racer {n}")));
            let source = from("https://s.example", "raced for");
            let beside = DirectoryWrite { source, ..new(&format!("beside {n}")) };
            tokio::spawn(async move {
                (store.write_directory(vec![write]).await, store.write_directory(vec![beside]).await)
            })
        })
        .collect();
    let (mut wrote, mut made) = (0, 0);
    for one in racing {
        let (write, beside) = one.await.unwrap();
        match write {
            Ok(entries) => {
                assert_eq!(entries[0].version, 2);
                wrote += 1;
            }
            Err(DirectoryError::Moved { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        match beside {
            Ok(_) => made += 1,
            Err(DirectoryError::SourceTaken { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((wrote, made), (1, 1));
    assert_eq!(b.store.directory_revision().await.unwrap(), 3);
    let revisions: Vec<_> = changes(&b, 0, 99).await.iter().map(|change| change.0).collect();
    assert_eq!(revisions, [2, 3]);
}

pub async fn what_is_too_much_for_a_directory_is_not_stored(b: Bench) {
    let many = |count| (0..count).map(|n| new(&format!("{n}"))).collect::<Vec<_>>();
    let long = |bytes: usize| "x".repeat(bytes);
    let (body, name) = (DIRECTORY_BODY_MAX_BYTES, DIRECTORY_SOURCE_MAX_BYTES);
    for large in [
        many(DIRECTORY_WRITES_MAX + 1),
        vec![DirectoryWrite { body: long(body + 1), ..new("body") }],
        vec![DirectoryWrite { source: Some((long(name + 1), "n".into())), ..new("source") }],
        vec![DirectoryWrite { source: Some(("s".into(), long(name + 1))), ..new("name") }],
    ] {
        let refused = b.store.write_directory(large).await;
        assert!(matches!(refused, Err(DirectoryError::TooLarge)), "{refused:?}");
    }
    let refused = b.store.add_proposal(NewProposal { body: long(body + 1), ..proposed("garden") }).await;
    assert!(matches!(refused, Err(DirectoryError::TooLarge)), "{refused:?}");
    assert_eq!(b.store.directory_revision().await.unwrap(), 0);
    let at_most = DirectoryWrite { body: long(body), source: Some((long(name), long(name))), ..new("all that may be") };
    one(&b, at_most).await;
    assert_eq!(write(&b, many(DIRECTORY_WRITES_MAX)).await.len(), DIRECTORY_WRITES_MAX);
}

fn proposed(provider: &str) -> NewProposal {
    NewProposal {
        id: Uuid::now_v7(),
        provider: provider.parse().unwrap(),
        kind: SERVICE,
        entry: Uuid::now_v7(),
        over: 0,
        source: from("https://s.example", provider),
        body: r#"{"resourceType":"HealthcareService","comment":"\u0000 é"}"#.into(),
    }
}

fn decision(status: ProposalStatus) -> Decision {
    Decision { status, by: "steward anna".into(), reason: Some("because".into()) }
}

pub async fn a_proposal_is_kept_and_found(b: Bench) {
    let mut kept = Vec::new();
    for provider in ["garden", "sheds", "garden"] {
        b.clock.advance(1);
        let new = proposed(provider);
        let proposal = b.store.add_proposal(new.clone()).await.unwrap();
        let expected = Proposal { new, at: b.store.now(), status: ProposalStatus::Pending, decided: None };
        assert_eq!(proposal, expected);
        assert_eq!(b.store.proposal(proposal.new.id).await.unwrap(), Some(expected));
        kept.push(proposal);
    }
    assert_eq!(b.store.proposal(Uuid::now_v7()).await.unwrap(), None);
    let declined = decision(ProposalStatus::Declined);
    let (declined, none) = b.store.decide_proposal(kept[0].new.id, declined, None).await.unwrap();
    assert_eq!(none, None);
    let find = |provider: Option<&str>, status, after, count| {
        let query =
            ProposalQuery { provider: provider.map(|id| id.parse().unwrap()), status, after, count, entry: None };
        let store = b.store.clone();
        async move { store.proposals(query).await.unwrap() }
    };
    let [_, sheds, garden] = &kept[..] else { unreachable!() };
    assert_eq!(find(None, None, None, 9).await, [declined.clone(), sheds.clone(), garden.clone()]);
    assert_eq!(find(None, None, None, 2).await, [declined.clone(), sheds.clone()]);
    assert_eq!(find(None, None, Some(sheds.new.id), 2).await, std::slice::from_ref(garden));
    assert_eq!(find(Some("garden"), None, None, 9).await, [declined.clone(), garden.clone()]);
    assert_eq!(find(Some("garden"), Some(ProposalStatus::Pending), None, 9).await, std::slice::from_ref(garden));
    assert_eq!(find(None, Some(ProposalStatus::Declined), None, 9).await, [declined]);
    assert_eq!(find(Some("nobody"), None, None, 9).await, []);
    assert_eq!(b.store.directory_revision().await.unwrap(), 0, "nothing was written");
}

pub async fn a_proposal_is_decided_once_and_with_what_it_writes(b: Bench) {
    let first = one(&b, new("first")).await;
    let new = NewProposal { entry: first.id, over: 1, ..proposed("garden") };
    let id = b.store.add_proposal(new).await.unwrap().new.id;
    let approve = || decision(ProposalStatus::Approved);
    // it was made on a version that is not the current one any more: nothing happens
    let second = one(&b, over(&first, "second")).await;
    let stale = b.store.decide_proposal(id, approve(), Some(over(&first, "proposed"))).await;
    assert!(matches!(stale, Err(DirectoryError::Moved { .. })), "{stale:?}");
    assert_eq!(b.store.proposal(id).await.unwrap().unwrap().status, ProposalStatus::Pending);

    b.clock.advance(9);
    let (proposal, written) = b.store.decide_proposal(id, approve(), Some(over(&second, "proposed"))).await.unwrap();
    let written = written.unwrap();
    assert_eq!((written.version, written.revision, written.by.as_str()), (3, 3, "kim"));
    assert_eq!(b.store.directory_entry(SERVICE, first.id, None).await.unwrap(), Some(written));
    let decided =
        Decided { at: start() + secs(9), by: "steward anna".into(), reason: Some("because".into()), version: Some(3) };
    assert_eq!((proposal.status, proposal.decided.clone()), (ProposalStatus::Approved, Some(decided)));
    assert_eq!(b.store.proposal(id).await.unwrap(), Some(proposal));

    for status in [ProposalStatus::Approved, ProposalStatus::Declined, ProposalStatus::Withdrawn] {
        let again = b.store.decide_proposal(id, decision(status), None).await;
        assert!(matches!(again, Err(DirectoryError::Decided(ProposalStatus::Approved))), "{again:?}");
    }
    let nobodys = b.store.decide_proposal(Uuid::now_v7(), approve(), None).await;
    assert!(matches!(nobodys, Err(DirectoryError::NoProposal)), "{nobodys:?}");
    assert_eq!(b.store.directory_revision().await.unwrap(), 3);
}

pub async fn of_many_who_decide_at_once_one_does(b: Bench) {
    let id = b.store.add_proposal(proposed("garden")).await.unwrap().new.id;
    let racing: Vec<_> = (0..12)
        .map(|n| {
            let store = b.store.clone();
            let status = if n % 2 == 0 { ProposalStatus::Approved } else { ProposalStatus::Declined };
            let write = (n % 2 == 0).then(|| new("approved"));
            tokio::spawn(async move { store.decide_proposal(id, decision(status), write).await })
        })
        .collect();
    let mut done = Vec::new();
    for one in racing {
        match one.await.unwrap() {
            Ok(decided) => done.push(decided),
            Err(DirectoryError::Decided(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let [(proposal, written)] = &done[..] else { panic!("{done:?}") };
    assert_eq!(written.is_some(), proposal.status == ProposalStatus::Approved);
    assert_eq!(b.store.directory_revision().await.unwrap(), u64::from(written.is_some()));
}

pub async fn no_provider_has_more_proposals_waiting_than_may_be(b: Bench) {
    for _ in 0..PROPOSALS_PENDING_MAX {
        b.store.add_proposal(proposed("garden")).await.unwrap();
    }
    let refused = b.store.add_proposal(proposed("garden")).await;
    assert!(matches!(refused, Err(DirectoryError::TooManyPending)), "{refused:?}");
    let other = b.store.add_proposal(proposed("sheds")).await.unwrap();
    b.store.decide_proposal(other.new.id, decision(ProposalStatus::Withdrawn), None).await.unwrap();
    assert!(b.store.add_proposal(proposed("garden")).await.is_err(), "another's is another's");
    let query = ProposalQuery { provider: Some("garden".parse().unwrap()), count: 1, ..ProposalQuery::default() };
    let first = b.store.proposals(query).await.unwrap().pop().unwrap();
    b.store.decide_proposal(first.new.id, decision(ProposalStatus::Withdrawn), None).await.unwrap();
    b.store.add_proposal(proposed("garden")).await.unwrap();
}

pub async fn what_is_rewritten_is_another_text_in_the_same_place_or_nothing_is(b: Bench) {
    let first = one(&b, new("first")).await;
    let second = one(&b, DirectoryWrite { by: "anna".into(), ..over(&first, "second") }).await;
    let beside = one(&b, new("beside")).await;
    let of_entry = |entry: &DirectoryEntry| NewProposal { entry: entry.id, over: entry.version, ..proposed("garden") };
    let told = of_entry(&second);
    b.store.add_proposal(told.clone()).await.unwrap();
    let other = of_entry(&beside);
    b.store.add_proposal(other.clone()).await.unwrap();
    assert_eq!(b.store.proposals_waiting().await.unwrap(), Some((2, start())));
    b.clock.advance(5);
    let of = |write: DirectoryWrite| DirectoryRewrite {
        write,
        versions: vec![(1, "{\"a\":1}".into()), (2, "{\"b\":2}".into())],
        proposals: vec![(told.id, "{\"c\":3}".into()), (other.id, "{\"of another entry\":4}".into())],
    };
    let stale = b.store.rewrite_directory(of(over(&first, "third"))).await;
    assert!(matches!(stale, Err(DirectoryError::Moved { .. })), "{stale:?}");
    let long =
        DirectoryRewrite { versions: vec![(1, " ".repeat(DIRECTORY_BODY_MAX_BYTES + 1))], ..of(over(&second, "x")) };
    assert!(matches!(b.store.rewrite_directory(long).await, Err(DirectoryError::TooLarge)));
    assert_eq!(b.store.directory_versions(SERVICE, first.id).await.unwrap(), [first.clone(), second.clone()]);

    let third = b.store.rewrite_directory(of(over(&second, "third"))).await.unwrap();
    assert_eq!((third.version, third.revision, third.last_updated), (3, 4, start() + secs(5)));
    let rewritten = [
        DirectoryEntry { body: "{\"a\":1}".into(), ..first.clone() },
        DirectoryEntry { body: "{\"b\":2}".into(), ..second.clone() },
        third.clone(),
    ];
    assert_eq!(b.store.directory_versions(SERVICE, first.id).await.unwrap(), rewritten);
    assert_eq!(changes(&b, 3, 9).await, [(4, first.id, 3)]);
    assert_eq!(
        b.store.proposal(told.id).await.unwrap().unwrap().new,
        NewProposal { body: "{\"c\":3}".into(), ..told.clone() }
    );
    assert_eq!(b.store.proposal(other.id).await.unwrap().unwrap().new, other, "of another entry nothing is rewritten");
    let query = |entry| ProposalQuery { entry, count: 9, ..ProposalQuery::default() };
    let found = b.store.proposals(query(Some((SERVICE, beside.id)))).await.unwrap();
    assert_eq!(found.iter().map(|one| one.new.id).collect::<Vec<_>>(), [other.id]);
    assert!(b.store.proposals(query(Some((EntryKind::Location, beside.id)))).await.unwrap().is_empty());
    for one in [&told, &other] {
        b.store.decide_proposal(one.id, decision(ProposalStatus::Withdrawn), None).await.unwrap();
    }
    assert_eq!(b.store.proposals_waiting().await.unwrap(), None);
}
