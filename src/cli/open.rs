//! The store of the configuration, for commands that work on it here.

use std::sync::Arc;

use super::login::login_name;
use super::{Failure, Globals, Out};
use crate::config::Config;
use crate::operation::{Operator, Settings, open_store};
use crate::store::{Actor, Origin};

/// Opens the store that the configuration names, and does `work` with it. What `work` prints is
/// printed when the store is closed again: whoever reads it slowly must not keep others out.
pub(crate) fn operate<T>(
    globals: &Globals,
    out: &mut Out,
    work: impl AsyncFnOnce(&Operator, &mut Out) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let config = globals.load_config()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    out.hold();
    let done = runtime.block_on(async {
        let operator = operator(&config).await?;
        let done = work(&operator, out).await;
        let told = operator.finish(out);
        Ok::<_, Failure>((done?, told))
    });
    drop(runtime);
    let printed = out.release();
    let (done, told) = done?;
    printed.and(told).map(|()| done)
}

/// Whoever runs the command, with the store of the configuration.
pub(super) async fn operator(config: &Config) -> Result<Operator, Failure> {
    let store = open_store(&config.store).await;
    let store = store.map_err(Failure::Unavailable)?;
    let actor = Actor::Operator { name: login_name() };
    let settings = Arc::new(Settings::from(config));
    Ok(Operator::new(settings, store, (actor, Origin::here())))
}
