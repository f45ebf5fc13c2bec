//! The places of certificate authorities, by which routes and verdicts name them.

use super::Config;
use crate::certificate::{Ca, CaIndex};
use crate::client::Renewal;

impl Config {
    /// Gives every authority the place that it has in `places`, and new ones the places after those;
    /// what is no longer there leaves its place to nobody. A running gateway remembers whose
    /// certificate it was by place, so none may become another's.
    pub fn put_in_places(&mut self, places: &mut Vec<String>) {
        let mut moved = Vec::with_capacity(self.cas.len());
        for ca in &self.cas {
            let place = places.iter().position(|name| *name == ca.name);
            moved.push(place.unwrap_or_else(|| {
                places.push(ca.name.clone());
                places.len().saturating_sub(1)
            }));
        }
        let gone = |name: &String| Ca {
            name: name.clone(),
            is_gone: true,
            ..Ca::default()
        };
        let mut cas: Vec<_> = places.iter().map(gone).collect();
        let mut lists: Vec<_> = places.iter().map(|_| None).collect();
        let mut renewal = vec![Renewal::default(); places.len()];
        let typed = std::mem::take(&mut self.cas).into_iter();
        let typed = typed
            .zip(std::mem::take(&mut self.lists))
            .zip(std::mem::take(&mut self.renewal));
        for (place, ((ca, files), policy)) in moved.iter().zip(typed) {
            if let (Some(own), Some(own_files), Some(own_policy)) = (
                cas.get_mut(*place),
                lists.get_mut(*place),
                renewal.get_mut(*place),
            ) {
                (*own, *own_files, *own_policy) = (ca, files, policy);
            }
        }
        (self.cas, self.lists, self.renewal) = (cas, lists, renewal);
        for ca in self.routes.iter_mut().flat_map(|route| &mut route.cas) {
            let place = moved.get(usize::from(ca.0)).copied();
            *ca = CaIndex(
                place
                    .and_then(|place| u16::try_from(place).ok())
                    .unwrap_or(u16::MAX),
            );
        }
    }
}
