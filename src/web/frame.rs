//! What is around every page: who looks, where she may go, and what a browser fetches for it.

use super::{assets, form::Seen};
use crate::domain::Position;

/// A part of Onward's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// Oneself.
    Account,
    /// None that is in the navigation.
    None,
}

/// Whether somebody may go to a section.
type MayGo = fn(&[Position]) -> bool;

/// Those in the navigation: where each begins, its name, who may go there.
const SECTIONS: &[(Section, &str, &str, MayGo)] = &[(Section::Account, "/account", "Your account", |_| true)];

/// The frame of one page.
pub(super) struct Frame {
    /// Where its visitor may go; none where nobody is logged in.
    pub places: Vec<Place>,
    /// Who is logged in.
    pub visitor: Option<Named>,
    /// The style sheet.
    pub style: &'static str,
    /// The script.
    pub script: &'static str,
    /// The icon.
    pub icon: &'static str,
}

/// A line of the navigation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub path: &'static str,
    pub name: &'static str,
    pub is_here: bool,
}

/// Who is logged in.
pub(super) struct Named {
    /// Her name for people.
    pub name: String,
    /// What her forms bear.
    pub made_for: String,
}

impl Frame {
    /// Of a page for whoever comes.
    pub(super) fn outside() -> Self {
        Self { places: vec![], visitor: None, style: assets::STYLE, script: assets::SCRIPT, icon: assets::ICON }
    }

    /// Of a page of this section for somebody who is logged in.
    pub(super) fn of(seen: &Seen, section: Section) -> Self {
        let named = Named { name: seen.visitor.name.clone(), made_for: seen.made_for.clone() };
        Self { places: places(&seen.visitor.positions, section), visitor: Some(named), ..Self::outside() }
    }
}

/// Where somebody may go, and where she is.
fn places(positions: &[Position], here: Section) -> Vec<Place> {
    let open = SECTIONS.iter().filter(|(.., may_go)| may_go(positions));
    open.map(|(section, path, name, _)| Place { path, name, is_here: *section == here }).collect()
}

/// Where somebody begins who was not on the way to somewhere: at the first place that is hers.
pub(super) fn home(positions: &[Position]) -> &'static str {
    places(positions, Section::None).first().map_or("/account", |place| place.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(text: &str) -> Vec<Position> {
        text.split(' ').map(|one| one.parse().unwrap()).collect()
    }

    #[test]
    fn where_one_is_stands_out() {
        let here =
            |section| places(&positions("auditor"), section).iter().map(|place| place.is_here).collect::<Vec<_>>();
        assert_eq!((here(Section::Account), here(Section::None)), (vec![true], vec![false]));
        assert_eq!(home(&positions("auditor")), "/account");
    }
}
