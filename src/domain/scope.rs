//! What a system may do, as SMART says it (SMART App Launch 2.2, scopes): `system/Task.rs`, `system/*.cruds`, and version 1's
//! `system/Task.read` for the same. Only what is granted counts; to write does not mean to read.

use std::{collections::BTreeSet, fmt, str::FromStr};

/// So many scopes are asked for or granted at once.
pub const SCOPES_MAX: usize = 128;
/// A text with more bytes is not read.
pub const SCOPES_MAX_BYTES: usize = 8 * 1024;

/// What can be done with resources, each by its letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Letter {
    /// A new one is written.
    Create,
    /// One is read, with its versions.
    Read,
    /// One is changed.
    Update,
    /// One is taken away.
    Delete,
    /// They are looked for, or followed.
    Search,
}

/// Some letters, one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Letters(u8);

/// One scope: these letters for resources of one type, or of every type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// The type; none: every one.
    of: Option<String>,
    letters: Letters,
}

/// Scopes, each type once, and of a type only what is not allowed of every one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

/// Why a text names no scopes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotScopes {
    /// There are none in it.
    #[error("no scope is named; name one at least, such as system/Task.rs")]
    None,
    /// There is too much in it.
    #[error("at most {SCOPES_MAX} scopes and {SCOPES_MAX_BYTES} bytes")]
    TooMany,
    /// One narrows what it is for by a search, which this server does not grant.
    #[error("scopes with search parameters (?…) are not granted here; ask for the whole type")]
    Narrowed,
    /// One of them is none of this server's.
    #[error(
        "a scope is system/TYPE.LETTERS: a type of R4 or *, and some of c, r, u, d, s in that order, or read, write or *"
    )]
    Unknown,
}

// === impl Letter ===

impl Letter {
    /// All, in the order in which they are written.
    pub const ALL: [Self; 5] = [Self::Create, Self::Read, Self::Update, Self::Delete, Self::Search];

    /// As it is written.
    pub const fn as_char(self) -> char {
        match self {
            Self::Create => 'c',
            Self::Read => 'r',
            Self::Update => 'u',
            Self::Delete => 'd',
            Self::Search => 's',
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

// === impl Letters ===

impl Letters {
    const EVERY: Self = Self(0b11111);
    const READ: Self = Self(Letter::Read.bit() | Letter::Search.bit());
    const WRITE: Self = Self(Letter::Create.bit() | Letter::Update.bit() | Letter::Delete.bit());

    /// Whether this one is among them.
    pub const fn has(self, letter: Letter) -> bool {
        self.0 & letter.bit() != 0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `cruds` or an ordered part of it, or a word of version 1.
    fn read(text: &str) -> Option<Self> {
        match text {
            "read" => return Some(Self::READ),
            "write" => return Some(Self::WRITE),
            "*" => return Some(Self::EVERY),
            _ => {}
        }
        let mut found = Self(0);
        for letter in text.chars() {
            let letter = Letter::ALL.into_iter().find(|known| known.as_char() == letter)?;
            // in order and once: every higher bit is still free
            if found.0 >= letter.bit() {
                return None;
            }
            found = found.or(Self(letter.bit()));
        }
        (found.0 != 0).then_some(found)
    }
}

impl fmt::Display for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Letter::ALL
            .into_iter()
            .filter(|letter| self.has(*letter))
            .try_for_each(|letter| write!(f, "{}", letter.as_char()))
    }
}

// === impl Scope ===

impl Scope {
    fn read(text: &str) -> Result<Self, NotScopes> {
        let below = text.strip_prefix("system/").ok_or(NotScopes::Unknown)?;
        if below.contains('?') {
            return Err(NotScopes::Narrowed);
        }
        let (of, letters) = below.rsplit_once('.').ok_or(NotScopes::Unknown)?;
        let letters = Letters::read(letters).ok_or(NotScopes::Unknown)?;
        let is_type = (1..=64).contains(&of.len())
            && of.starts_with(|first: char| first.is_ascii_uppercase())
            && of.bytes().all(|b| b.is_ascii_alphabetic());
        match of {
            "*" => Ok(Self { of: None, letters }),
            of if is_type => Ok(Self { of: Some(of.to_owned()), letters }),
            _ => Err(NotScopes::Unknown),
        }
    }

    fn is_for(&self, kind: &str) -> bool {
        self.of.as_deref().is_none_or(|of| of == kind)
    }

    /// What both allow; none where that is nothing.
    fn and(&self, other: &Self) -> Option<Self> {
        let of = match (&self.of, &other.of) {
            (None, of) | (of, None) => of.clone(),
            (Some(one), Some(two)) if one == two => Some(one.clone()),
            _ => return None,
        };
        let letters = self.letters.and(other.letters);
        (letters.0 != 0).then_some(Self { of, letters })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "system/{}.{}", self.of.as_deref().unwrap_or("*"), self.letters)
    }
}

// === impl Scopes ===

impl Scopes {
    /// Whether this may be done with resources of this type.
    pub fn allow(&self, kind: &str, letter: Letter) -> bool {
        self.0.iter().any(|scope| scope.is_for(kind) && scope.letters.has(letter))
    }

    /// What both allow.
    pub fn and(&self, other: &Self) -> Self {
        Self::of(self.0.iter().flat_map(|one| other.0.iter().filter_map(|two| one.and(two))))
    }

    /// Whether they allow nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are for every type, or for one that there is.
    pub fn of_known(mut self, is_known: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|scope| scope.of.as_deref().is_none_or(&is_known));
        self
    }

    /// Every type that is named.
    pub fn types(&self) -> BTreeSet<&str> {
        self.0.iter().filter_map(|scope| scope.of.as_deref()).collect()
    }

    fn of(all: impl Iterator<Item = Scope>) -> Self {
        let mut kept: Vec<Scope> = Vec::new();
        for scope in all {
            match kept.iter_mut().find(|known| known.of == scope.of) {
                Some(known) => known.letters = known.letters.or(scope.letters),
                None => kept.push(scope),
            }
        }
        let everywhere = kept.iter().find(|scope| scope.of.is_none()).map_or(Letters(0), |scope| scope.letters);
        for scope in kept.iter_mut().filter(|scope| scope.of.is_some()) {
            scope.letters = Letters(scope.letters.0 & !everywhere.0);
        }
        kept.retain(|scope| scope.letters.0 != 0);
        kept.sort();
        Self(kept)
    }
}

impl FromStr for Scopes {
    type Err = NotScopes;

    /// Scopes with spaces between (RFC 6749, 3.3).
    fn from_str(text: &str) -> Result<Self, NotScopes> {
        if text.len() > SCOPES_MAX_BYTES || text.split_ascii_whitespace().count() > SCOPES_MAX {
            return Err(NotScopes::TooMany);
        }
        let all = text.split_ascii_whitespace().map(Scope::read).collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() { Err(NotScopes::None) } else { Ok(Self::of(all.into_iter())) }
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            write!(f, "{}{scope}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scopes(text: &str) -> Scopes {
        text.parse().unwrap()
    }

    #[test]
    fn both_versions_say_the_same() {
        for (one, two) in [
            ("system/Task.read", "system/Task.rs"),
            ("system/Task.write", "system/Task.cud"),
            ("system/*.*", "system/*.cruds"),
            ("system/Task.r system/Task.s", "system/Task.rs"),
            ("  system/Task.r\tsystem/Goal.c ", "system/Goal.c system/Task.r"),
        ] {
            assert_eq!(scopes(one), scopes(two), "{one}");
        }
        assert_eq!(scopes("system/Task.write system/Task.read").to_string(), "system/Task.cruds");
    }

    #[test]
    fn what_is_no_scope_of_a_system_is_not_taken() {
        let long = "system/Task.r ".repeat(SCOPES_MAX + 1);
        for (text, why) in [
            ("", NotScopes::None),
            (" ", NotScopes::None),
            ("system/Task", NotScopes::Unknown),
            ("system/Task.", NotScopes::Unknown),
            ("system/.r", NotScopes::Unknown),
            ("system/task.r", NotScopes::Unknown),
            ("system/Task.sr", NotScopes::Unknown),
            ("system/Task.rr", NotScopes::Unknown),
            ("system/Task.x", NotScopes::Unknown),
            ("system/Ta*.r", NotScopes::Unknown),
            ("system/Task.r system/Task", NotScopes::Unknown),
            ("patient/Task.r", NotScopes::Unknown),
            ("user/Task.r", NotScopes::Unknown),
            ("openid", NotScopes::Unknown),
            ("System/Task.r", NotScopes::Unknown),
            ("system/Task.rs?status=requested", NotScopes::Narrowed),
            (long.as_str(), NotScopes::TooMany),
        ] {
            assert_eq!(text.parse::<Scopes>(), Err(why), "{text}");
        }
    }

    #[test]
    fn to_write_does_not_mean_to_read() {
        let writes = scopes("system/Task.write");
        assert!(writes.allow("Task", Letter::Update));
        assert!(!writes.allow("Task", Letter::Read) && !writes.allow("Task", Letter::Search));
        assert!(!writes.allow("ServiceRequest", Letter::Update), "another type");
        assert!(!writes.allow("TaskX", Letter::Update));
    }

    fn some_scopes() -> impl Strategy<Value = Scopes> {
        let one = (proptest::sample::select(&["*", "Task", "Patient", "Goal"][..]), 1u8..32);
        proptest::collection::vec(one, 1..6).prop_map(|all| {
            let scope = |(of, bits): (&str, u8)| {
                let of = (of != "*").then(|| of.to_owned());
                Scope { of, letters: Letters(bits) }
            };
            Scopes::of(all.into_iter().map(scope))
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(scopes in some_scopes()) {
            prop_assert_eq!(scopes.to_string().parse::<Scopes>(), Ok(scopes));
        }

        #[test]
        fn both_allow_what_each_allows(one in some_scopes(), two in some_scopes()) {
            let both = one.and(&two);
            for kind in ["Task", "Patient", "Goal", "List"] {
                for letter in Letter::ALL {
                    let expected = one.allow(kind, letter) && two.allow(kind, letter);
                    prop_assert_eq!(both.allow(kind, letter), expected, "{} {:?}", kind, letter);
                }
            }
            prop_assert_eq!(both.clone(), two.and(&one));
            prop_assert_eq!(both.and(&one), both);
        }

        #[test]
        fn no_text_makes_it_panic_or_grants_more_than_it_says(text in "(system/)?[A-Za-z*.?/ ]{0,40}") {
            if let Ok(scopes) = text.parse::<Scopes>() {
                prop_assert!(!scopes.is_empty());
                prop_assert!(text.contains("system/"));
                for kind in ["Task", "Patient"] {
                    let named = text.contains(kind) || text.contains("/*.");
                    prop_assert!(named || Letter::ALL.iter().all(|letter| !scopes.allow(kind, *letter)));
                }
            }
        }
    }
}
