//! How much each address has at once.

use std::sync::Arc;

use foldhash::quality::RandomState;
use papaya::{Compute, HashMap, Operation};

/// The addresses that have something now, and how much; an address goes with its last.
#[derive(Debug)]
pub struct AtOnce {
    most: u32,
    addresses: HashMap<u128, u32, RandomState>,
}

/// One more of an address, for as long as it is there.
#[derive(Debug)]
pub struct Counted {
    of: Arc<AtOnce>,
    network: u128,
}

impl AtOnce {
    /// Nobody has anything; nobody gets more than this.
    #[must_use]
    pub fn new(most: u32) -> Arc<Self> {
        Arc::new(Self {
            most,
            addresses: HashMap::default(),
        })
    }

    /// One more of this [`network`](super::network); none when it has as much as there may be.
    #[must_use]
    pub fn enter(self: &Arc<Self>, network: u128) -> Option<Counted> {
        let addresses = self.addresses.pin();
        let entered = addresses.compute(network, |known| match known {
            None => Operation::Insert(1),
            Some((_, number)) if *number < self.most => Operation::Insert(number.saturating_add(1)),
            Some(_) => Operation::Abort(()),
        });
        // Only what was counted may be dropped.
        (!matches!(entered, Compute::Aborted(()))).then(|| Counted {
            of: Arc::clone(self),
            network,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let addresses = self.of.addresses.pin();
        addresses.compute(self.network, |known| match known {
            Some((_, number)) if *number > 1 => Operation::Insert(number.saturating_sub(1)),
            Some(_) => Operation::Remove,
            None => Operation::Abort(()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_more_than_there_may_be_and_goes_with_its_last() {
        let at_once = AtOnce::new(2);
        let both = [at_once.enter(1), at_once.enter(1)];
        assert!(both.iter().all(Option::is_some));
        assert!(at_once.enter(1).is_none() && at_once.enter(1).is_none());
        assert!(at_once.enter(2).is_some());
        drop(both);
        assert!(at_once.enter(1).is_some());
        assert_eq!(at_once.addresses.len(), 0);
    }
}
