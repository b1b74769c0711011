//! What is around every page: who looks, where she may go, and what a browser fetches for it.

use super::{assets, changes, console, form::Seen, glasses, routes, stay::Stays};
use crate::{
    auth::{self, Deed, What, Who, may},
    domain::{Organisation, Position},
};

/// A part of Onward's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// The referrals of a provider.
    Inbox,
    /// What the directory says of a provider's services.
    Services,
    /// The people of a provider.
    People,
    /// What keeps Onward running.
    Console,
    /// Where referrals go.
    Routes,
    /// Broken glasses.
    Glasses,
    /// Changes of accounts.
    Changes,
    /// Oneself.
    Account,
    /// None that is in the navigation.
    None,
}

/// Whether somebody may go to a section.
type MayGo = fn(&[Position]) -> bool;

/// Those in the navigation: where each begins, its name, who may go there.
const SECTIONS: &[(Section, &str, &str, MayGo)] = &[
    (Section::Inbox, "/inbox", "Referrals", works_referrals),
    (Section::Services, "/services", "Our services", reads_services),
    (Section::People, "/people", "Our people", manages_people),
    (Section::Console, "/console", "IT console", console::may_look),
    (Section::Routes, "/console/routes", "Routes", routes::may_read),
    (Section::Glasses, "/glasses", "Records opened", glasses::may_review),
    (Section::Changes, "/changes", "Accounts changed", changes::may_review),
    (Section::Account, "/account", "Your account", |_| true),
];

/// The frame of one page.
pub(super) struct Frame {
    /// Where its visitor may go; none where nobody is logged in.
    pub places: Vec<Place>,
    /// Who is logged in.
    pub visitor: Option<Named>,
    /// How long she stays it.
    pub stays: Option<Stays>,
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
        let (style, script, icon) = (assets::STYLE, assets::SCRIPT, assets::ICON);
        Self { places: vec![], visitor: None, stays: None, style, script, icon }
    }

    /// Of a page of this section for somebody who is logged in.
    pub(super) fn of(seen: &Seen, section: Section) -> Self {
        let named = Named { name: seen.visitor.name.clone(), made_for: seen.made_for.clone() };
        let (places, stays) = (places(&seen.visitor.positions, section), Some(Stays::of(seen)));
        Self { places, visitor: Some(named), stays, ..Self::outside() }
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

/// Whether referrals of some provider are hers to see.
fn works_referrals(positions: &[Position]) -> bool {
    providers(positions).next().is_some()
}

/// The providers whose referrals somebody may see.
pub(super) fn providers(positions: &[Position]) -> impl Iterator<Item = &crate::domain::ProviderId> {
    let of = |position: &Position| position.organisation();
    positions.iter().filter_map(move |position| match (position, of(position)) {
        (Position::ProviderWorker(id), Some(own @ Organisation::Provider(_))) => {
            may(Who::Person(std::slice::from_ref(position)), Deed::Read, What::Of(&own)).then_some(id)
        }
        _ => None,
    })
}

/// Whether the people of some provider are hers to look after.
fn manages_people(positions: &[Position]) -> bool {
    auth::manage::managed(positions).next().is_some()
}

/// Whether the directory's entries of some provider are hers to propose, or say what she works at.
fn reads_services(positions: &[Position]) -> bool {
    proposes(positions).next().is_some() || works_referrals(positions)
}

/// The providers for whom somebody may propose what the directory says.
pub(super) fn proposes(positions: &[Position]) -> impl Iterator<Item = &crate::domain::ProviderId> {
    positions.iter().filter_map(|position| match (position, position.organisation()) {
        (Position::ProviderAdmin(id), Some(own)) => {
            may(Who::Person(std::slice::from_ref(position)), Deed::Propose, What::Of(&own)).then_some(id)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(text: &str) -> Vec<Position> {
        text.split(' ').map(|one| one.parse().unwrap()).collect()
    }

    #[test]
    fn each_role_sees_where_it_may_go() {
        let shown = |roles: &str| places(&positions(roles), Section::Inbox).iter().map(|p| p.path).collect::<Vec<_>>();
        assert_eq!(shown("provider-worker:mind"), ["/inbox", "/services", "/account"]);
        assert_eq!(shown("provider-admin:mind"), ["/services", "/people", "/account"]);
        assert_eq!(shown("operator"), ["/console", "/console/routes", "/account"]);
        assert_eq!(shown("auditor"), ["/console", "/console/routes", "/glasses", "/changes", "/account"]);
        assert_eq!(shown("route-editor"), ["/console/routes", "/account"]);
        assert_eq!(shown("referrer:rio"), ["/account"]);
        assert_eq!(home(&positions("operator provider-worker:mind")), "/inbox");
        assert_eq!(home(&positions("auditor")), "/console");
        assert_eq!(home(&positions("referrer:rio")), "/account");
        assert_eq!(home(&[]), "/account");
    }

    #[test]
    fn where_one_is_stands_out() {
        let places = places(&positions("provider-worker:mind"), Section::Inbox);
        assert_eq!(places.iter().map(|place| place.is_here).collect::<Vec<_>>(), [true, false, false]);
    }
}
