//! The table of the pages' routes: what may be asked of each, and for whom it is. A route is made here and nowhere else, so the tests that
//! try every page as whoever may not have it in their list by itself.
//!
//! A form that acts for somebody is taken only by a handler that takes a [`Signed`] (or a [`Long`]): another does not compile.

use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{MethodRouter, get, post},
};

use super::{
    Shared,
    form::{Long, Signed},
};
use crate::{
    auth::{Deed, What, Who, may},
    domain::Position,
};

/// For whom a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Whoever comes, logged in or not.
    Everybody,
    /// Whoever has logged in: it is about herself.
    Herself,
    /// Whoever may do one of these, with Onward as a whole or with what is her organisation's. What it is about has still to be hers.
    Those(&'static [Deed]),
}

/// A route of the pages.
#[derive(Debug, Clone)]
pub struct Listed {
    /// `GET` or `POST`.
    pub method: Method,
    /// With its parameters in braces.
    pub path: String,
    /// For whom it is.
    pub who: For,
    /// What its `{action}` may be. Empty where it has none.
    pub actions: Vec<&'static str>,
}

/// All of them, as they are made.
#[derive(Default)]
pub(super) struct Table {
    router: Router<Shared>,
    listed: Vec<Listed>,
}

/// What a form is that acts for somebody: it is known whose it is, and that a page made for her sent it.
pub(super) trait Hers {}

impl Hers for Signed {}
impl Hers for Long {}

/// What a handler takes where the last of it is such a form.
pub(super) trait TakesHers {}

impl<M, F: Hers> TakesHers for (M, F) {}
impl<M, A, F: Hers> TakesHers for (M, A, F) {}
impl<M, A, B, F: Hers> TakesHers for (M, A, B, F) {}

// === impl For ===

impl For {
    /// Whether it is for somebody who has logged in and holds these.
    pub fn is_for(self, positions: &[Position]) -> bool {
        let deeds = match self {
            Self::Everybody | Self::Herself => return true,
            Self::Those(deeds) => deeds,
        };
        let may_one = |what: What<'_>| deeds.iter().any(|deed| may(Who::Person(positions), *deed, what));
        may_one(What::Whole) || positions.iter().filter_map(Position::organisation).any(|own| may_one(What::Of(&own)))
    }
}

// === impl Table ===

impl Table {
    /// What is looked at.
    pub(super) fn page<H, T>(self, path: &str, who: For, handler: H) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        self.with(Method::GET, path, who, get(handler))
    }

    /// A form of somebody who is logged in.
    pub(super) fn form<H, T>(self, path: &str, who: For, handler: H) -> Self
    where
        H: Handler<T, Shared>,
        T: TakesHers + 'static,
    {
        self.with(Method::POST, path, who, post(handler))
    }

    /// A form of somebody who is not logged in yet, or what no page of ours sends.
    pub(super) fn open_form<H, T>(self, path: &str, handler: H) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        self.with(Method::POST, path, For::Everybody, post(handler))
    }

    fn with(mut self, method: Method, path: &str, who: For, handler: MethodRouter<Shared>) -> Self {
        self.listed.push(Listed { method, path: path.to_owned(), who, actions: Vec::new() });
        self.router = self.router.route(path, handler);
        self
    }

    /// The `{action}` of the route before is one of these.
    pub(super) fn acting(mut self, actions: impl IntoIterator<Item = &'static str>) -> Self {
        if let Some(last) = self.listed.last_mut() {
            last.actions = actions.into_iter().collect();
        }
        self
    }

    /// What is listed.
    pub(super) fn listed(self) -> Vec<Listed> {
        self.listed
    }

    /// The routes.
    pub(super) fn into_router(self) -> Router<Shared> {
        self.router
    }
}
