//! How many connections there are, in all and of one address. An IPv6 network of 64 bits
//! counts as one address.

use core::fmt;
use core::net::IpAddr;
use std::collections::HashMap;
use std::sync::Arc;

use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::access::network;

/// Counts connections.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    taken: Mutex<Taken>,
    /// Told whenever the last one has gone.
    emptied: Notify,
    connections: Gauge,
    refused_total: Counter,
    refused_address: Counter,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Default for Inner {
    fn default() -> Self {
        let refused =
            |reason| counter!("strikewire_http_connections_refused_total", "reason" => reason);
        Self {
            taken: Mutex::default(),
            emptied: Notify::new(),
            connections: gauge!("strikewire_http_connections"),
            refused_total: refused("total"),
            refused_address: refused("address"),
        }
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.taken.lock().fmt(f)
    }
}

impl Places {
    /// A place for a connection from `address`, until dropped; none when there are `total`
    /// connections, or `per_address` of that address.
    pub(super) fn take(&self, address: IpAddr, total: usize, per_address: usize) -> Option<Place> {
        let address = network(address);
        let mut taken = self.0.taken.lock();
        if taken.total >= total {
            self.0.refused_total.increment(1);
            return None;
        }
        let of_address = taken.by_address.get(&address).copied().unwrap_or_default();
        if of_address >= per_address {
            self.0.refused_address.increment(1);
            return None;
        }
        taken.by_address.insert(address, of_address + 1);
        taken.total += 1;
        self.0.connections.increment(1.0);
        Some(Place {
            places: self.clone(),
            address,
        })
    }
}

impl Places {
    /// Waits until nobody has a place.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(super) async fn emptied(&self) {
        let mut emptied = core::pin::pin!(self.0.emptied.notified());
        // From here on the last one that goes is heard.
        emptied.as_mut().enable();
        if self.0.taken.lock().total > 0 {
            emptied.await;
        }
    }
}

/// A place of a connection, free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let inner = &self.places.0;
        let mut taken = inner.taken.lock();
        taken.total -= 1;
        if let Some(of_address) = taken.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&self.address);
            }
        }
        if taken.total == 0 {
            inner.emptied.notify_waiters();
        }
        inner.connections.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_free_again() {
        let places = Places::default();
        let [a, b]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let first = places.take(a, 3, 2).unwrap();
        let second = places
            .take("::ffff:192.0.2.1".parse().unwrap(), 3, 2)
            .unwrap();
        assert!(places.take(a, 3, 2).is_none());
        let third = places.take(b, 3, 2).unwrap();
        assert!(places.take(b, 3, 2).is_none());
        drop(first);
        drop(places.take(b, 3, 2).unwrap());
        let [c, d, e]: [IpAddr; 3] = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"]
            .map(|text| text.parse().unwrap());
        drop((second, third));
        let of_one = (places.take(c, 9, 2).unwrap(), places.take(d, 9, 2).unwrap());
        assert!(places.take(c, 9, 2).is_none());
        drop((places.take(e, 9, 2).unwrap(), of_one));
        let taken = places.0.taken.lock();
        assert_eq!((taken.total, taken.by_address.len()), (0, 0));
    }
}
