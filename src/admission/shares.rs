//! Who may have how many of the places there are: nobody so many that another finds none. Pure: it is told the time.

use std::{collections::HashMap, time::Duration};

/// Who asked within this time counts as one who shares.
const ACTIVE: Duration = Duration::from_secs(2);

/// The places of one kind of request, by client. Clients are those of the registry, so there are never more of them than of those; of
/// pages they are people and addresses, and never more than `rates` lets in.
#[derive(Debug, Default)]
pub struct Shares {
    held: HashMap<String, Held>,
    total: usize,
}

#[derive(Debug, Default)]
struct Held {
    now: usize,
    asked: Duration,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// This client has its share.
    Own,
    /// All places are taken.
    All,
}

impl Shares {
    /// How many places are taken.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Takes one of `limit` places for `who`, if it may have one more.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn take(&mut self, who: &str, limit: usize, at: Duration) -> Result<(), Refused> {
        let active = |held: &Held| held.now > 0 || at.saturating_sub(held.asked) < ACTIVE;
        self.held.retain(|_, held| active(held));
        let others = self.held.keys().filter(|other| *other != who).count();
        let share = share(limit, others);
        let held = self.held.entry(who.to_owned()).or_default();
        held.asked = at;
        // half empty, nobody is kept from what nobody else wants
        if held.now >= share && self.total >= limit / 2 {
            return Err(Refused::Own);
        }
        if self.total >= limit {
            return Err(Refused::All);
        }
        held.now += 1;
        self.total += 1;
        Ok(())
    }

    /// Takes one whatever the limit, for who had one and stepped aside.
    pub fn take_back(&mut self, who: &str) {
        self.held.entry(who.to_owned()).or_default().now += 1;
        self.total += 1;
    }

    /// Gives one back.
    pub fn leave(&mut self, who: &str) {
        if let Some(held) = self.held.get_mut(who).filter(|held| held.now > 0) {
            held.now -= 1;
            self.total -= 1;
        }
    }
}

/// The fair share beside so many others. Who is alone leaves a quarter for whoever comes next.
fn share(limit: usize, others: usize) -> usize {
    let share = if others == 0 { (limit * 3).div_ceil(4) } else { limit / (others + 1) };
    share.max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: Duration = Duration::from_secs(100);

    fn flood(shares: &mut Shares, who: &str, limit: usize, at: Duration) -> usize {
        (0..limit * 2).filter(|_| shares.take(who, limit, at).is_ok()).count()
    }

    #[test]
    fn a_flood_of_one_leaves_places_for_another() {
        let mut shares = Shares::default();
        assert_eq!(flood(&mut shares, "flood", 16, AT), 12);
        assert_eq!(shares.take("flood", 16, AT), Err(Refused::Own));
        assert_eq!(shares.take("other", 16, AT), Ok(()));
        // from now on they share: what the flood gives back it does not get again while it has more than its half
        for _ in 0..4 {
            shares.leave("flood");
            assert_eq!(shares.take("flood", 16, AT), Err(Refused::Own));
        }
        assert_eq!(flood(&mut shares, "other", 16, AT), 7);
        assert_eq!(shares.total(), 16);
        assert_eq!(shares.take("third", 16, AT), Err(Refused::All));
    }

    #[test]
    fn who_has_gone_is_counted_no_more() {
        let mut shares = Shares::default();
        shares.take("gone", 16, AT).unwrap();
        shares.leave("gone");
        assert_eq!(flood(&mut shares, "flood", 16, AT), 8);
        assert_eq!(flood(&mut shares, "flood", 16, AT + ACTIVE), 4);
        assert_eq!(shares.held.len(), 1);
    }

    #[test]
    fn one_place_serves_one() {
        let mut shares = Shares::default();
        assert_eq!(shares.take("a", 1, AT), Ok(()));
        assert_eq!(shares.take("a", 1, AT), Err(Refused::Own));
        assert_eq!(shares.take("b", 1, AT), Err(Refused::All));
        shares.leave("a");
        assert_eq!(shares.take("b", 1, AT), Ok(()));
    }

    proptest! {
        #[test]
        fn no_more_places_are_taken_than_there_are(
            limit in 1_usize..64,
            deeds in proptest::collection::vec((0_usize..5, any::<bool>()), 0..300),
        ) {
            let (mut shares, mut held) = (Shares::default(), [0_usize; 5]);
            for (n, (who, leaves)) in deeds.into_iter().enumerate() {
                let (name, at) = (who.to_string(), Duration::from_millis(n as u64 * 10));
                if leaves {
                    held[who] = held[who].saturating_sub(1);
                    shares.leave(&name);
                } else if shares.take(&name, limit, at).is_ok() {
                    held[who] += 1;
                }
                prop_assert_eq!(shares.total(), held.iter().sum::<usize>());
                prop_assert!(shares.total() <= limit);
                let alone = held.iter().filter(|n| **n > 0).count() == 1;
                prop_assert!(!alone || shares.total() <= share(limit, 0).max(limit / 2));
            }
        }
    }
}
