//! What a synchronising location carries from its releasing writers to its acquiring readers, with the scopes of both.

use std::sync::Arc;

use crate::clock::View;
use crate::ids::Scope;

/// Where a thread is, for scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) cta: u32,
    pub(crate) cluster: u32,
}

impl Seat {
    /// Whether `scope`, seen from here, includes a thread of `other`.
    #[inline]
    pub(crate) fn reaches(self, scope: Scope, other: Seat) -> bool {
        match scope {
            Scope::Cta => self.cta == other.cta,
            Scope::Cluster => self.cluster == other.cluster,
            Scope::Gpu | Scope::Sys => true,
        }
    }
}

#[derive(Clone, Debug)]
struct Part {
    from: Seat,
    scope: Scope,
    view: View,
}

/// The views that the writers of a location (or the arrivals at an mbarrier) have released. Empty for most locations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(Option<Arc<Body>>);

#[derive(Clone, Debug, Default)]
struct Body {
    /// By CTA and scope, sorted, for readers or writers whose scope is narrower than the device.
    parts: Vec<Part>,
    /// The join of the parts at `.gpu` and `.sys` scope.
    wide: View,
}

impl Message {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn same(&self, other: &Message) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Adds what a thread at `from` releases at `scope`.
    pub(crate) fn add(&mut self, from: Seat, scope: Scope, view: &View) {
        let scope = scope.min(Scope::Gpu);
        let body = Arc::make_mut(self.0.get_or_insert_default());
        if scope == Scope::Gpu {
            body.wide.join(view);
        }
        match body.parts.binary_search_by_key(&(from.cta, scope), |p| (p.from.cta, p.scope)) {
            Ok(at) => body.parts[at].view.join(view),
            Err(at) => body.parts.insert(at, Part { from, scope, view: view.clone() }),
        }
    }

    /// Adds all of `other`.
    pub(crate) fn join(&mut self, other: &Message) {
        let Some(theirs) = &other.0 else { return };
        if self.0.is_none() {
            self.0 = Some(theirs.clone());
            return;
        }
        if self.same(other) {
            return;
        }
        for part in &theirs.parts {
            self.add(part.from, part.scope, &part.view);
        }
    }

    /// What a reader at `to` with `scope` acquires.
    pub(crate) fn visible(&self, to: Seat, scope: Scope) -> Option<View> {
        let body = self.0.as_deref()?;
        let mut view = View::default();
        let wide = scope >= Scope::Gpu;
        if wide {
            view.join(&body.wide);
        }
        for part in &body.parts {
            let counted = wide && part.scope == Scope::Gpu;
            if !counted && to.reaches(scope, part.from) && part.from.reaches(part.scope, to) {
                view.join(&part.view);
            }
        }
        Some(view)
    }
}
