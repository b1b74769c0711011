//! What only the embedded store promises: one file, one service, and a chain that shows a manipulated row.

use std::{fs, path::Path};

use aws_lc_rs::digest::{Context, SHA256};
use onward::store::sqlite::{OpenError, SqliteStore};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::*;
use onward::store::{Account, Poll};

/// For `behaviours!`.
pub fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let store = open(folder.path(), &clock).unwrap();
    Bench::new(store, clock, bench, folder)
}

fn open(folder: &Path, clock: &Arc<ManualClock>) -> Result<Arc<dyn Store>, OpenError> {
    Ok(Arc::new(SqliteStore::open(&folder.join("data/onward.db"), clock.clone())?))
}

/// A folder whose store the test opens and closes itself.
fn closed() -> (TempDir, Arc<ManualClock>) {
    (tempfile::tempdir().unwrap(), Arc::new(ManualClock::at(start())))
}

fn bench_in(folder: &TempDir, clock: &Arc<ManualClock>) -> Bench {
    Bench::new(open(folder.path(), clock).unwrap(), clock.clone(), bench, ())
}

fn raw(folder: &Path) -> Connection {
    Connection::open_with_flags(folder.join("data/onward.db"), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap()
}

/// Follows the chain of a Task from the columns alone; the seq of the first line that does not hold.
fn broken_at(c: &Connection, task: TaskId) -> Option<i64> {
    let sha = |parts: &[&[u8]]| -> Vec<u8> {
        let mut context = Context::new(&SHA256);
        parts.iter().for_each(|p| context.update(p));
        context.finish().as_ref().to_vec()
    };
    let mut lines = c
        .prepare(
            "SELECT seq, at, event, actor, detail, salt, commitment, hash FROM journal WHERE task = ? ORDER BY seq",
        )
        .unwrap();
    let mut lines = lines.query([task.0.as_bytes()]).unwrap();
    let (mut before, mut next) = (vec![0; 32], 1i64);
    while let Some(line) = lines.next().unwrap() {
        let (seq, at): (i64, i64) = (line.get(0).unwrap(), line.get(1).unwrap());
        let (event, actor): (String, String) = (line.get(2).unwrap(), line.get(3).unwrap());
        let detail: String = line.get(4).unwrap();
        let [salt, commitment, hash]: [Vec<u8>; 3] = [5, 6, 7].map(|i| line.get(i).unwrap());
        let expected = sha(&[
            task.0.as_bytes(),
            &seq.to_be_bytes(),
            &at.to_be_bytes(),
            event.as_bytes(),
            &[0],
            actor.as_bytes(),
            &[0],
            &commitment,
            &before,
        ]);
        if seq != next || commitment != sha(&[&salt, detail.as_bytes()]) || hash != expected {
            return Some(seq);
        }
        (before, next) = (hash, next + 1);
    }
    let head: Vec<u8> =
        c.query_row("SELECT head_hash FROM task WHERE id = ?", [task.0.as_bytes()], |r| r.get(0)).unwrap();
    (head != before).then_some(next)
}

#[tokio::test]
async fn the_chain_shows_a_manipulated_row() {
    let (folder, clock) = closed();
    let b = bench_in(&folder, &clock);
    let id = one_task(&b, "a").await.id;
    for _ in 0..4 {
        clock.advance(1);
        add(&b, id, &[Side::WriteBack]).await;
    }
    let whole = one_task(&b, "b").await.id;
    let mut c = raw(folder.path());
    assert_eq!(broken_at(&c, id), None);
    for (manipulation, line) in [
        ("UPDATE journal SET at = at + 1 WHERE task = ? AND seq = 3", 3),
        ("UPDATE journal SET event = 'delivered' WHERE task = ? AND seq = 3", 3),
        ("UPDATE journal SET actor = '{\"operator\":\"x\"}' WHERE task = ? AND seq = 2", 2),
        ("UPDATE journal SET detail = '\"request-closed\"' WHERE task = ? AND seq = 2", 2),
        ("UPDATE journal SET salt = randomblob(16) WHERE task = ? AND seq = 4", 4),
        ("DELETE FROM journal WHERE task = ? AND seq = 2", 3),
        ("DELETE FROM journal WHERE task = ? AND seq = 5", 5),
    ] {
        let tx = c.transaction().unwrap();
        assert_eq!(tx.execute(manipulation, [id.0.as_bytes()]).unwrap(), 1);
        assert_eq!(broken_at(&tx, id), Some(line), "{manipulation}");
        assert_eq!(broken_at(&tx, whole), None);
        tx.rollback().unwrap();
    }
}

#[tokio::test]
async fn tries_are_numbered() {
    let (folder, clock) = closed();
    let b = bench_in(&folder, &clock);
    let id = one_task(&b, "a").await.id;
    for side in [Side::Delivery, Side::Delivery, Side::WriteBack, Side::Delivery] {
        let tried = Some(attempt(side, 1, "deferred", start()));
        b.store.append(Append { attempt: tried, ..step(&task(&b, id).await) }).await.unwrap();
    }
    let c = raw(folder.path());
    let mut numbers = c.prepare("SELECT n FROM attempt WHERE side = 'delivery' ORDER BY n").unwrap();
    let numbers: Vec<i64> = numbers.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test]
async fn what_was_sent_is_kept_byte_for_byte() {
    let (folder, clock) = closed();
    let b = bench_in(&folder, &clock);
    let sent = Submission {
        original: Bytes::from_static(b"\xef\xbb\xbf<Bundle/>\r\n\0\xff"),
        ..submission(vec![referral("a")])
    };
    b.store.submit(sent.clone()).await.unwrap();
    let original: Vec<u8> = raw(folder.path())
        .query_row("SELECT original FROM submission WHERE id = ?", [sent.id.as_bytes()], |r| r.get(0))
        .unwrap();
    assert_eq!(original, sent.original);
}

#[tokio::test]
async fn one_file_serves_one_service() {
    let (folder, clock) = closed();
    let b = bench_in(&folder, &clock);
    assert!(matches!(open(folder.path(), &clock), Err(OpenError::InUse(_))));
    b.store.close().await;
    assert!(matches!(open(folder.path(), &clock), Err(OpenError::InUse(_))), "until it is gone");
    drop(b);
    open(folder.path(), &clock).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_works_beside_the_service() {
    let (folder, clock) = closed();
    let file = folder.path().join("data/onward.db");
    assert!(matches!(SqliteStore::open_beside(&file, clock.clone()), Err(OpenError::File { .. })), "there is none yet");
    let b = bench_in(&folder, &clock);
    let id = one_task(&b, "a").await.id;
    let held = lease(&b, id, Side::Delivery).await;
    let beside: Arc<dyn Store> = Arc::new(SqliteStore::open_beside(&file, clock.clone()).unwrap());
    let busy = beside.lease_lane(id, Side::Delivery, MINUTE).await.unwrap();
    assert!(matches!(busy, LaneState::Busy), "it ends nobody's lease");

    let mut racing = Vec::new();
    for n in 0..40 {
        for (name, store) in [("service", b.store.clone()), ("command", beside.clone())] {
            let new = submission(vec![referral(&format!("{name}-{n}"))]);
            racing.push(tokio::spawn(async move { stored(store.submit(new).await.unwrap()).0[0].tasks[0] }));
        }
    }
    for one in racing {
        let id = one.await.unwrap();
        assert!(b.store.task(id).await.unwrap().is_some() && beside.task(id).await.unwrap().is_some());
    }
    b.store.append(held.settle(Side::Delivery, done())).await.unwrap();
    assert!(matches!(open(folder.path(), &clock), Err(OpenError::InUse(_))));
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_no_lease_is_left() {
    let (folder, clock) = closed();
    let mut all = Vec::new();
    let (first, second, published, deferred_one);
    {
        let b = bench_in(&folder, &clock);
        for n in 0..20 {
            all.push(one_task(&b, &format!("k{n}")).await.id);
        }
        (first, second, published, deferred_one) = (all[0], all[1], all[2], all[3]);
        let held = lease(&b, first, Side::Delivery).await;
        b.store.append(held.settle(Side::Delivery, Settled::Done { memory: Some("v1".into()) })).await.unwrap();
        lease(&b, second, Side::Delivery).await;
        let (submitted, wake_ups) = stored(b.store.submit(submission(vec![referral("last")])).await.unwrap());
        all.push(submitted[0].tasks[0]);
        b.store.mark_published(vec![wake_ups[0].message]).await.unwrap();
        let held = lease(&b, deferred_one, Side::Delivery).await;
        b.store.append(held.settle(Side::Delivery, deferred(start() + secs(600)))).await.unwrap();
        add(&b, published, &[Side::WriteBack]).await;
        // dropped without being closed
    }
    let b = bench_in(&folder, &clock);
    for id in &all {
        task(&b, *id).await;
        assert!(!b.store.journal(*id).await.unwrap().is_empty());
    }
    let mut expected: Vec<_> = all[1..].iter().filter(|id| **id != deferred_one).map(|id| (*id, 1)).collect();
    expected.push((published, 2));
    expected.sort();
    let due = claim(&b).await;
    assert_eq!(heads(&due.wake_ups), expected, "all that is not done, at once, published or not");
    lease(&b, second, Side::Delivery).await;
    add(&b, first, &[Side::Delivery]).await;
    let held = lease(&b, first, Side::Delivery).await;
    assert_eq!((held.head.cursor, held.head.memory.as_deref()), (1, Some("v1")));
    clock.advance(600);
    assert!(heads(&claim(&b).await.wake_ups).contains(&(deferred_one, 1)), "and a wait goes on to its end");
}

/// A request that was given up by its sender is still in the queue when the store goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_begun_is_finished_before_another_may_open() {
    let (folder, clock) = closed();
    let b = bench_in(&folder, &clock);
    let many = submission((0..500).map(|n| referral(&format!("k{n}"))).collect());
    assert!(tokio::time::timeout(Duration::ZERO, b.store.submit(many)).await.is_err(), "it takes a while");
    drop(b);
    let c = raw(folder.path());
    let count = || c.query_row("SELECT count(*) FROM referral", [], |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 500);
}

/// What the migration makes of the journal is what was noted as it happened.
#[tokio::test]
async fn answers_from_before_they_were_noted_are_found_in_the_journal() {
    let (folder, clock) = closed();
    let b = bench_in(&folder, &clock);
    let noted = measured::many_answers(&b).await;
    drop(b);
    let c = raw(folder.path());
    c.execute_batch(
        "DROP TABLE answer; DROP INDEX task_open_by_inbox; CREATE INDEX task_open_by_inbox ON task (inbox)",
    )
    .unwrap();
    c.execute_batch(include_str!("../../../src/store/sqlite/migrations/0013_measured.sql")).unwrap();
    drop(c);
    let b = bench_in(&folder, &clock);
    assert_eq!(measured::noted(&b, "life-rooms").await, noted);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let (folder, clock) = closed();
    drop(bench_in(&folder, &clock));
    raw(folder.path()).pragma_update(None, "user_version", 99).unwrap();
    let refused = open(folder.path(), &clock);
    assert!(matches!(refused, Err(OpenError::Newer { found: 99, .. })));
    let version: i64 = raw(folder.path()).pragma_query_value(None, "user_version", |r| r.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, clock) = closed();
    // as a package may have made it
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::set_permissions(folder.path().join("data"), fs::Permissions::from_mode(0o755)).unwrap();
    let b = bench_in(&folder, &clock);
    one_task(&b, "a").await;
    for file in fs::read_dir(folder.path().join("data")).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{:?} {mode:o}", file.file_name());
    }
}

#[tokio::test]
async fn what_is_no_store_is_not_opened() {
    let (folder, clock) = closed();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/onward.db"), "Dear Sir or Madam, ".repeat(300)).unwrap();
    assert!(matches!(open(folder.path(), &clock), Err(OpenError::Sqlite { .. })));
}

#[tokio::test]
async fn a_copy_that_was_being_read_when_its_reader_died_is_due_at_once() {
    let (folder, clock) = closed();
    let b = bench_in(&folder, &clock);
    let (read, later) = (one_task(&b, "a").await.id, one_task(&b, "b").await.id);
    for (id, at) in [(read, start()), (later, start() + secs(3_600))] {
        b.store.plan_poll(id, Poll { memory: Some("etag".into()), at: Some(at) }).await.unwrap();
    }
    assert_eq!(b.store.claim_polls(Shares::even(10, 10), MINUTE).await.unwrap().len(), 1);
    drop(b);
    let again = bench_in(&folder, &clock);
    let due = again.store.claim_polls(Shares::even(10, 10), MINUTE).await.unwrap();
    assert_eq!(due.iter().map(|(task, _)| task.id).collect::<Vec<_>>(), [read]);
}

/// A program that knew of no end noted none: what it ended counts from when that is seen, and what it let in again has not ended.
#[tokio::test]
async fn an_account_that_an_older_program_ended_is_forgotten_in_its_time() {
    let (folder, clock) = closed();
    let b = bench_in(&folder, &clock);
    let names = async || -> Vec<String> {
        let ended = b.store.ended_accounts(b.store.now(), 9).await.unwrap();
        ended.into_iter().map(|one| one.name).collect()
    };
    for name in ["anna", "bert"] {
        let new = people::account(&b, name);
        assert!(b.store.add_account(new.clone(), None).await.unwrap());
        assert!(b.store.set_account(Account { disabled: true, ..new }, None, None).await.unwrap());
    }
    let older = raw(folder.path());
    older.execute("UPDATE account SET ended = NULL WHERE name = 'anna'", []).unwrap();
    older.execute("UPDATE account SET disabled = 0 WHERE name = 'bert'", []).unwrap();
    clock.advance(10);
    assert_eq!(names().await, [""; 0]);
    b.store.sweep_people(start(), start()).await.unwrap();
    assert_eq!(names().await, [""; 0], "it was seen now");
    clock.advance(1);
    assert_eq!(names().await, ["anna"]);
    older.execute("UPDATE account SET disabled = 1 WHERE name = 'bert'", []).unwrap();
    assert_eq!(names().await, ["anna"], "its first end is forgotten");
}
