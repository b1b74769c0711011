//! Breaking the glass: who looks after Onward sees what is in one referral, for a reason, for a short time. It is kept and told before
//! anything is seen.

use uuid::Uuid;

use super::{People, Visitor, after};
use crate::{
    auth::{Deed, What, Who, may},
    domain::{Alert, AlertKind, ReferralId},
    store::{Glass, Parties, StoreError},
};

/// A reason that is shorter says nothing.
pub const REASON_CHARS_MIN: usize = 20;
/// A longer one is not taken.
pub const REASON_CHARS_MAX: usize = 1_000;

/// Why a glass was not broken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GlassError {
    /// It is not this person's to break; to be answered as if there were no such referral.
    #[error("there is no such referral, or it is not for you")]
    NotForYou,
    /// The reason says nothing, or too much.
    #[error("say why in {REASON_CHARS_MIN} to {REASON_CHARS_MAX} characters")]
    Reason,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl People {
    /// Breaks the glass of a referral.
    ///
    /// # Errors
    /// [`GlassError`]
    pub async fn break_glass(
        &self,
        visitor: &Visitor,
        (referral, parties): (ReferralId, &Parties),
        reason: &str,
    ) -> Result<Glass, GlassError> {
        if !may(Who::Person(&visitor.positions), Deed::BreakGlass, What::referral(parties)) {
            return Err(GlassError::NotForYou);
        }
        let reason = reason.trim();
        let says = reason.chars().filter(|c| c.is_alphanumeric()).count();
        if says < REASON_CHARS_MIN || reason.chars().count() > REASON_CHARS_MAX {
            return Err(GlassError::Reason);
        }
        let now = self.store.now();
        let glass = Glass {
            id: Uuid::now_v7(),
            person: visitor.person.clone(),
            name: visitor.name.clone(),
            positions: visitor.positions.clone(),
            referral,
            reason: reason.to_owned(),
            at: now,
            until: after(now, self.config.glass),
        };
        // first the alert: one about a glass that stayed whole is better than a broken one of which nobody is told. The reason is not
        // in it: it may tell of the person who was referred
        let text = format!(
            "{} sees what is in referral {referral} until {}, and gave a reason",
            visitor.person,
            crate::domain::clock::instant(glass.until)
        );
        // each glass is told, also of one who breaks several
        let subject = format!("{} {}", visitor.person, glass.id);
        let mut alert = Alert::new(AlertKind::GlassBroken, subject, now, text);
        // that it was seen to stands in the journal of the referral
        let tasks = self.store.find_tasks(&referral.to_string()).await?;
        alert.task = tasks.iter().find(|task| task.referral == referral).map(|task| task.id);
        self.store.raise(vec![alert]).await?;
        self.store.add_glass(glass.clone()).await?;
        tracing::warn!(person = visitor.person, referral.id = %referral, glass.id = %glass.id, "a glass was broken");
        metrics::counter!("onward_glasses_broken_total").increment(1);
        Ok(glass)
    }

    /// Whether a visitor may see what is in a referral: her own, or one whose glass she has broken.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn sees(&self, visitor: &Visitor, referral: ReferralId, parties: &Parties) -> Result<bool, StoreError> {
        let sees = |opened| may(Who::Person(&visitor.positions), Deed::Read, What::Referral { parties, opened });
        // without asking, where it makes no difference
        if sees(false) || !sees(true) {
            return Ok(sees(false));
        }
        Ok(self.store.open_glass(&visitor.person, referral).await?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use arc_swap::ArcSwap;

    use super::*;
    use crate::{
        config::{self, Registry},
        domain::ManualClock,
        store::{Store, sqlite::SqliteStore},
    };

    const REASON: &str = "safeguarding: she must be reached today, and nobody there answers";

    struct Scene {
        people: People,
        store: Arc<dyn Store>,
        clock: Arc<ManualClock>,
        referral: ReferralId,
        parties: Parties,
        _folder: tempfile::TempDir,
    }

    fn scene() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
        let store = Arc::new(SqliteStore::open(&folder.path().join("onward.db"), clock.clone()).unwrap());
        let registry = Arc::new(ArcSwap::from_pointee(Registry::default()));
        Scene {
            people: People::new(store.clone(), registry, config::People::default()),
            store,
            clock,
            referral: ReferralId::mint(),
            parties: Parties { system: "epr".parse().unwrap(), providers: vec!["life-rooms".parse().unwrap()] },
            _folder: folder,
        }
    }

    fn visitor(person: &str, positions: &[&str]) -> Visitor {
        Visitor {
            person: person.into(),
            name: person.into(),
            positions: positions.iter().map(|text| text.parse().unwrap()).collect(),
            session: Uuid::now_v7(),
            looked: jiff::Timestamp::UNIX_EPOCH,
            ends: jiff::Timestamp::MAX,
            at_last: false,
        }
    }

    impl Scene {
        async fn sees(&self, visitor: &Visitor) -> bool {
            self.people.sees(visitor, self.referral, &self.parties).await.unwrap()
        }

        async fn breaks(&self, visitor: &Visitor, reason: &str) -> Result<Glass, GlassError> {
            self.people.break_glass(visitor, (self.referral, &self.parties), reason).await
        }
    }

    #[tokio::test]
    async fn a_broken_glass_opens_one_referral_to_one_person_for_its_time_and_is_told() {
        let scene = scene();
        let (operator, other) = (visitor("local:olga", &["operator"]), visitor("local:otto", &["operator"]));
        assert!(!scene.sees(&operator).await);
        let glass = scene.breaks(&operator, REASON).await.unwrap();
        assert!(scene.sees(&operator).await);
        assert!(!scene.sees(&other).await, "it is hers alone");
        let another = ReferralId::mint();
        assert!(!scene.people.sees(&operator, another, &scene.parties).await.unwrap(), "and for this referral alone");

        let told = scene.store.claim_alerts(10, Duration::from_secs(60)).await.unwrap();
        let [told] = &told[..] else { panic!("{told:?}") };
        assert_eq!(
            (told.alert.kind, told.alert.subject.clone()),
            (AlertKind::GlassBroken, format!("local:olga {}", glass.id))
        );
        let open = scene.store.open_alerts(10).await.unwrap();
        assert_eq!(
            open.iter().map(|alert| alert.id).collect::<Vec<_>>(),
            [told.alert.id],
            "until somebody has asked about it"
        );
        assert!(told.alert.text.contains(&scene.referral.to_string()), "{}", told.alert.text);
        assert!(!told.alert.text.contains("safeguarding"), "the reason may tell of the person: {}", told.alert.text);
        assert_eq!(scene.store.glasses(None, 10).await.unwrap(), std::slice::from_ref(&glass));
        assert_eq!((glass.reason.as_str(), glass.person.as_str()), (REASON, "local:olga"));

        scene.clock.advance(30 * 60);
        assert!(!scene.sees(&operator).await, "its time is over");
        assert_eq!(scene.store.glasses(None, 10).await.unwrap(), [glass], "that it was broken stays");
    }

    #[tokio::test]
    async fn who_has_no_right_to_it_breaks_nothing() {
        let scene = scene();
        for positions in [&["provider-worker:debt-advice"][..], &["provider-admin:life-rooms"], &["referrer:gp"], &[]] {
            let visitor = visitor("local:eve", positions);
            assert!(matches!(scene.breaks(&visitor, REASON).await, Err(GlassError::NotForYou)), "{positions:?}");
            assert!(!scene.sees(&visitor).await, "{positions:?}");
        }
        let operator = visitor("local:olga", &["operator"]);
        for reason in
            ["", "needed", "....................................", "a a a a a a a a a a a a", &"x".repeat(2_000)]
        {
            assert!(matches!(scene.breaks(&operator, reason).await, Err(GlassError::Reason)), "{reason}");
        }
        assert!(scene.store.glasses(None, 10).await.unwrap().is_empty());
        assert!(scene.store.claim_alerts(10, Duration::from_secs(60)).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_glass_of_who_is_no_longer_an_operator_opens_nothing() {
        let scene = scene();
        scene.breaks(&visitor("local:olga", &["operator"]), REASON).await.unwrap();
        assert!(!scene.sees(&visitor("local:olga", &["provider-admin:life-rooms"])).await);
        assert!(scene.sees(&visitor("local:olga", &["auditor"])).await);
    }
}
