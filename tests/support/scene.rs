//! What most tests of gateways that share a Redis need.

use super::backend::Backend;
use super::gateway::{Builder, Gateway};
use super::store::SharedStore;
use super::world::World;

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) backend: Backend,
    pub(crate) store: SharedStore,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            world: World::new(),
            backend: Backend::start(),
            store: SharedStore::start(),
        }
    }

    /// A gateway on the store, in front of the backend.
    pub(crate) fn builder(&self) -> Builder<'_> {
        Gateway::builder(&self.world)
            .redis(&self.store.url())
            .echo(&self.backend)
    }
}
