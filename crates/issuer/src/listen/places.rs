//! Who holds how many connections: everybody together, and each network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{self, network_of};

/// The places there are for connections.
pub(super) struct Places {
    all: Arc<Semaphore>,
    shares: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Default for Places {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(limits::CONNECTIONS_MAX)), shares: Arc::default() }
    }
}

/// A place that is kept for whoever comes next.
pub(super) struct Free {
    permit: OwnedSemaphorePermit,
    shares: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place that is taken, given up when it is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _share: Option<Share>,
}

impl Places {
    /// A place, once there is one.
    pub(super) async fn one(&self) -> Free {
        let permit = self.all.clone().acquire_owned().await.expect("nobody closes the semaphore");
        Free { permit, shares: self.shares.clone() }
    }

    /// Resolves when every place is free.
    pub(super) async fn all(&self) {
        let _all = self.all.acquire_many(limits::CONNECTIONS_MAX as u32).await;
    }
}

impl Free {
    /// Gives it to this peer, unless its network has its share already. Somebody `unshared` has none.
    pub(super) fn of(self, peer: IpAddr, unshared: bool) -> Option<Place> {
        let share = match unshared {
            true => None,
            false => Some(Share::take(self.shares, network_of(peer))?),
        };
        Some(Place { _permit: self.permit, _share: share })
    }
}

/// One of a network's connections.
struct Share {
    shares: Arc<Mutex<HashMap<IpAddr, usize>>>,
    network: IpAddr,
}

impl Share {
    fn take(shares: Arc<Mutex<HashMap<IpAddr, usize>>>, network: IpAddr) -> Option<Self> {
        {
            let mut held = shares.lock().unwrap_or_else(PoisonError::into_inner);
            let held = held.entry(network).or_default();
            if *held >= limits::CONNECTIONS_BY_NETWORK {
                return None;
            }
            *held += 1;
        }
        Some(Self { shares, network })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = shares.get_mut(&self.network) {
            *held -= 1;
            // Nobody is remembered who is not here.
            if *held == 0 {
                shares.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_network_holds_its_share_of_connections_and_leaves_room_for_others() {
        let places = Places::default();
        let peer = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut held = Vec::new();
        for n in 0..limits::CONNECTIONS_BY_NETWORK {
            let subscriber = peer(&format!("2001:db8::{n:x}"));
            held.push(places.one().await.of(subscriber, false).expect("within the share"));
        }
        assert!(places.one().await.of(peer("2001:db8::ffff"), false).is_none(), "one /64 is one network");
        assert!(places.one().await.of(peer("2001:db8:0:1::1"), false).is_some());
        assert!(places.one().await.of(peer("2001:db8::ffff"), true).is_some(), "a proxy brings everybody");
        held.pop();
        assert!(places.one().await.of(peer("2001:db8::ffff"), false).is_some(), "what is given up is free");
        drop(held);
        assert!(places.shares.lock().unwrap().is_empty(), "and nobody is remembered who is gone");
        places.all().await;
    }
}
