use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_loop_is_closed() {
    let options = Options { once: true, quiet: true, pace: Pace::at_once(), ..Options::default() };
    let summary = run(options).await.unwrap();
    assert_eq!(summary.troubles, Vec::<String>::new());
    assert_eq!((summary.sent, summary.delivered, summary.written_back), (21, 21, 21));
    assert_eq!((summary.lost, summary.duplicates), (0, 0));
    assert_eq!(summary.completed + summary.refused + summary.cancelled, 21);
    assert!(summary.refused >= 2 && summary.accepted == summary.completed + summary.cancelled);
    assert!(summary.cancelled >= 1 && summary.answered >= 1);
}
