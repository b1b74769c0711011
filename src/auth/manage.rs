//! How far the hand of somebody who manages people reaches: over the positions of her own organisation, and over an account as a whole
//! only where it has no others. Who could take an account over that is more than hers would be more than she is. Pure.

use super::may::{Deed, What, Who, may};
use crate::domain::{Organisation, Position, ProviderId};

/// How far somebody's hand reaches over an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It is nothing to her, and to be answered as if it were not there.
    Nothing,
    /// Over those of its positions that are in her organisation.
    Positions,
    /// Over all of it.
    Whole,
}

/// The providers whose people somebody manages.
pub fn managed(positions: &[Position]) -> impl Iterator<Item = &ProviderId> {
    positions.iter().filter_map(|position| match position {
        Position::ProviderAdmin(id) => {
            let own = Organisation::Provider(id.clone());
            may(Who::Person(std::slice::from_ref(position)), Deed::ManagePeople, What::Of(&own)).then_some(id)
        }
        _ => None,
    })
}

/// Whether a position is hers to give and to take.
pub fn gives(manager: &[Position], position: &Position) -> bool {
    position.organisation().is_some_and(|of| may(Who::Person(manager), Deed::ManagePeople, What::Of(&of)))
}

/// How far the hand of `manager` reaches over an account with these positions.
pub fn reach(manager: &[Position], of: &[Position]) -> Reach {
    match of.iter().filter(|position| gives(manager, position)).count() {
        0 => Reach::Nothing,
        all if all == of.len() => Reach::Whole,
        _ => Reach::Positions,
    }
}

/// What an account's positions become where somebody wants those that are hers to give to be these. The others stay; none where not
/// all of these are hers to give.
pub fn changed(manager: &[Position], before: &[Position], wanted: &[Position]) -> Option<Vec<Position>> {
    if !wanted.iter().all(|position| gives(manager, position)) {
        return None;
    }
    let mut after: Vec<Position> = before.iter().filter(|position| !gives(manager, position)).cloned().collect();
    for position in wanted {
        if !after.contains(position) {
            after.push(position.clone());
        }
    }
    Some(after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [&str; 9] = [
        "referrer:epr",
        "referrer:mind",
        "provider-worker:mind",
        "provider-admin:mind",
        "provider-worker:choir",
        "provider-admin:choir",
        "route-editor",
        "operator",
        "auditor",
    ];

    fn positions(text: &str) -> Vec<Position> {
        text.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }

    fn some() -> impl Strategy<Value = Vec<Position>> {
        proptest::sample::subsequence(&ALL[..], 0..=ALL.len()).prop_map(|words| positions(&words.join(" ")))
    }

    #[test]
    fn a_hand_reaches_over_its_own_organisation() {
        let admin = positions("provider-admin:mind");
        for (of, expected) in [
            ("", Reach::Nothing),
            ("provider-worker:choir", Reach::Nothing),
            ("referrer:mind", Reach::Nothing),
            ("operator", Reach::Nothing),
            ("provider-worker:mind", Reach::Whole),
            ("provider-admin:mind provider-worker:mind", Reach::Whole),
            ("provider-worker:mind operator", Reach::Positions),
            ("provider-worker:mind provider-worker:choir", Reach::Positions),
        ] {
            assert_eq!(reach(&admin, &positions(of)), expected, "{of}");
        }
        assert_eq!(
            reach(
                &positions("provider-admin:mind provider-admin:choir"),
                &positions("provider-worker:mind provider-worker:choir")
            ),
            Reach::Whole
        );
    }

    proptest! {
        /// Whoever manages people gives nothing that is not of her own organisation, and takes nothing else away.
        #[test]
        fn nobody_gives_or_takes_more_than_is_hers(manager in some(), before in some(), wanted in some()) {
            let own = |position: &Position| match position {
                Position::ProviderWorker(id) | Position::ProviderAdmin(id) => {
                    manager.contains(&Position::ProviderAdmin(id.clone()))
                }
                _ => false,
            };
            let Some(after) = changed(&manager, &before, &wanted) else {
                prop_assert!(!wanted.iter().all(own));
                return Ok(());
            };
            for position in before.iter().chain(&after).filter(|position| !own(position)) {
                prop_assert_eq!(before.contains(position), after.contains(position));
            }
            for position in after.iter().filter(|position| own(position)) {
                prop_assert!(wanted.contains(position));
            }
            if reach(&manager, &before) == Reach::Whole {
                prop_assert!(before.iter().all(own));
            }
        }

        #[test]
        fn who_is_no_admin_manages_nobody(of in some(), wanted in some()) {
            let others = positions("referrer:mind provider-worker:mind route-editor operator auditor");
            prop_assert_eq!(reach(&others, &of), Reach::Nothing);
            prop_assert!(wanted.is_empty() || changed(&others, &of, &wanted).is_none());
            prop_assert_eq!(managed(&others).count(), 0);
        }
    }
}
