//! What waits for a person is ticked off on its page, by whoever may see to it.

use super::*;
use crate::domain::{Alert, AlertKind};

async fn id_of(scene: &Scene, kind: AlertKind) -> Option<Uuid> {
    let open = scene.store.open_alerts(10).await.unwrap();
    open.iter().find(|alert| alert.kind == kind).map(|alert| alert.id)
}

#[tokio::test]
async fn a_line_is_ticked_off_by_who_may_see_to_it_and_stays_for_others() {
    let scene = scene();
    let task = scene.referral("one").await;
    let alert = |kind| Alert::new(kind, "local:olga 1", scene.store.now(), "somebody sees what is in a referral");
    let refused = Alert::new(AlertKind::AnswerRefused, task.id.to_string(), scene.store.now(), "it says “draft”");
    scene.store.raise(vec![alert(AlertKind::GlassBroken), refused.of_task(task.id)]).await.unwrap();
    let glass = id_of(&scene, AlertKind::GlassBroken).await.unwrap();
    let answer = id_of(&scene, AlertKind::AnswerRefused).await.unwrap();
    let (of_glass, of_answer) = (format!("/console/to-do/{glass}/done"), format!("/console/to-do/{answer}/done"));
    let (mut operator, mut auditor) = (scene.browser_of("operator").await, scene.browser_of("auditor").await);

    let page = operator.get("/console/to-do").await.text;
    assert!(page.contains(&of_answer) && !page.contains(&of_glass) && !page.contains("/glasses"), "{page}");
    assert!(page.contains("An auditor looks at it, and ticks it off here"), "{page}");
    assert_eq!(operator.get(&of_glass).await.status, StatusCode::NOT_FOUND, "what she did herself is not hers to tick");
    let page = operator.get(&of_answer).await;
    assert!(
        page.text.contains("An answer that cannot be taken") && page.text.contains("What was done?"),
        "{}",
        page.text
    );
    let made_for = page.made_for().to_owned();
    let send = |reason: &'static str| [("made-for", made_for.clone()), ("reason", reason.to_owned())];
    for wrong in ["", "two\nlines"] {
        let fields = send(wrong);
        let fields = fields.each_ref().map(|(name, text)| (*name, text.as_str()));
        assert_eq!(operator.post(&of_answer, &fields).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong:?}");
    }
    let fields = send("Their IT has put it right");
    let fields = fields.each_ref().map(|(name, text)| (*name, text.as_str()));
    assert_eq!(operator.post(&of_answer, &fields).await.to(), "/console/to-do?done=ticked");
    let after = operator.get("/console/to-do?done=ticked").await.text;
    assert!(after.contains("It is ticked off.") && !after.contains(&of_answer), "{after}");
    let journal = scene.store.journal(task.id).await.unwrap();
    let last = journal.last().unwrap();
    assert!(format!("{:?}", last.event).contains("Their IT has put it right"), "{last:?}");
    assert_eq!(last.actor.to_string(), "operator:local:operator", "in her name");

    let page = auditor.get(&of_glass).await;
    assert!(page.text.contains("Records opened"), "{}", page.text);
    // nothing is asked for that is kept nowhere
    assert!(page.text.contains("kept in the log") && !page.text.contains("What was done?"), "{}", page.text);
    let made_for = page.made_for().to_owned();
    let fields = [("made-for", made_for.as_str())];
    assert_eq!(auditor.post(&of_glass, &fields).await.to(), "/console/to-do?done=ticked");
    assert_eq!(id_of(&scene, AlertKind::GlassBroken).await, None);
    assert_eq!(auditor.post(&of_glass, &fields).await.status, StatusCode::NOT_FOUND, "once");
}
