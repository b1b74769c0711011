//! What a provider's people are told of how far their words get: never more than what is true for this referral.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;

use super::{CONFIG, WHOLE, scene};
use crate::{
    config::{
        Config, Env, Registry,
        registry::{Detail, WriteBack},
    },
    domain::Side,
    store::{Append, Attempt, LaneState, Settle, Settled},
    web::tests::{Browser, Scene},
};

impl Scene {
    /// The system takes answers from now on, so much of them.
    fn record_takes(&self, detail: Detail) {
        let mut registry = Registry::clone(&self.intake.registry.load());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("routes.toml"), "[triage]\nto = \"triage\"\n").unwrap();
        let env = Env::from_iter([("TOKEN", "a-token-of-everybody-0123")]);
        let to = "write-back = { kind = \"fhir-rest\", base-url = \"https://rio.example/fhir\" }\n[[provider]]";
        let text = CONFIG.replacen("[[provider]]", to, 1);
        let (config, _) = Config::parse(&text, &folder.path().join("onward.toml"), &env).unwrap();
        let to = config.registry.systems.values().find_map(|system| system.write_back.clone()).unwrap();
        for system in registry.systems.values_mut() {
            system.write_back = Some(WriteBack { detail, ..to.clone() });
        }
        self.intake.registry.store(Arc::new(registry));
    }
}

async fn declined(scene: &Scene, luke: &mut Browser, file: &str, number: &str) -> String {
    let task = scene.refers(file, number).await;
    let page = luke.get(&format!("/inbox/{task}/rejected")).await;
    let form = page.text.clone();
    let (made_for, version) = (page.made_for().to_owned(), page.version().to_owned());
    let fields = [("made-for", made_for.as_str()), ("version", version.as_str()), ("reason", "No room")];
    let to = luke.post(&format!("/inbox/{task}/rejected"), &fields).await.to().to_owned();
    format!("{form}{}", luke.get(&to).await.text)
}

#[tokio::test]
async fn nobody_is_told_that_the_referrer_hears_what_reaches_no_record() {
    let (scene, mut luke) = scene().await;
    let nowhere = "The referrer’s record takes no answers from Onward: tell the referrer yourself.";
    let told = declined(&scene, &mut luke, WHOLE, "R-1").await;
    assert_eq!(told.matches(nowhere).count(), 2, "before and after: {told}");
    assert!(!told.contains("The referrer is told"), "{told}");
    scene.record_takes(Detail::Full);
    let told = declined(&scene, &mut luke, WHOLE, "R-2").await;
    assert_eq!(told.matches("The referrer is told why.").count(), 2, "{told}");
    scene.record_takes(Detail::Codes);
    assert!(declined(&scene, &mut luke, WHOLE, "R-3").await.contains("and not why: their record takes no words."));
    scene.record_takes(Detail::Full);
    let told = declined(&scene, &mut luke, "17-consent-nothing-back.json", "R-4").await;
    assert_eq!(told.matches("and not why: the person’s consent keeps it back.").count(), 2, "{told}");
    let task = scene.refers("17-consent-nothing-back.json", "R-5").await;
    let page = luke.get(&format!("/inbox/{task}")).await;
    assert!(
        page.text.contains("It stays here: the person’s consent keeps it back from the referrer."),
        "{}",
        page.text
    );
    assert_eq!(page.status, StatusCode::OK);
}

/// While nothing gets into the record, nobody is told that the referrer is.
#[tokio::test]
async fn that_the_record_cannot_be_reached_is_said_beside() {
    let (scene, mut luke) = scene().await;
    scene.record_takes(Detail::Full);
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    let page = luke.get(&at).await;
    let done =
        luke.post(&format!("{at}/accepted"), &[("made-for", page.made_for()), ("version", page.version())]).await;
    let away = "The referrer’s record cannot be reached at present";
    assert!(!luke.get(done.to()).await.text.contains(away));
    let minute = Duration::from_secs(60);
    let leased = scene.store.lease_lane(task, Side::WriteBack, minute).await.unwrap();
    let LaneState::Leased { lease, head, task: record } = leased else { panic!("the lane is not free") };
    let attempt = Attempt {
        side: Side::WriteBack,
        of: head.seq,
        at: scene.store.now(),
        duration: Duration::ZERO,
        endpoint: "https://rio.example/fhir".into(),
        result: "deferred".into(),
        why: Some("HTTP 503".into()),
    };
    let outcome = Settled::Deferred { until: scene.store.now(), memory: None, why: "HTTP 503".into() };
    let settle = Settle { side: Side::WriteBack, seq: head.seq, lease: Some(lease), extend: minute, outcome };
    let step = Append { settle: Some(settle), attempt: Some(attempt), ..Append::to(&record) };
    scene.store.append(step).await.unwrap();
    let told = luke.get(done.to()).await.text;
    assert!(told.contains("You have accepted this referral.") && told.contains(away), "{told}");
}

/// Before somebody writes she reads how far it gets: notes, activities and scores stay where only the gist is taken, contacts do not.
#[tokio::test]
async fn it_is_said_before_one_writes_how_far_it_gets() {
    let (scene, mut luke) = scene().await;
    scene.record_takes(Detail::Summary);
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    let page = luke.get(&at).await;
    luke.post(&format!("{at}/accepted"), &[("made-for", page.made_for()), ("version", page.version())]).await;
    let (stays, goes) = ("It stays here: the referrer’s record takes no notes.", "It goes into the referrer’s record.");
    for (form, told) in [("progress", stays), ("contact", goes)] {
        let page = luke.get(&format!("{at}/{form}")).await;
        assert!(page.text.contains(told), "{form}: {}", page.text);
    }
    scene.record_takes(Detail::Full);
    assert!(luke.get(&format!("{at}/progress")).await.text.contains(goes));
}
