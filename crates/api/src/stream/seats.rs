//! How many clients there are, in all and of each user, and how many have come and not
//! said yet who they are.

use core::net::IpAddr;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use super::meters::METERS;
use crate::access::network;
use crate::{Code, Problem};

/// Sockets at once that have not said who they are. They take no seat from those who have.
pub(super) const STRANGERS: usize = 512;

/// Those of one address (64 bits of an IPv6 address).
pub(super) const STRANGERS_PER_ADDRESS: usize = 64;

/// Who has come.
#[derive(Debug)]
pub(crate) struct Seats {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_user: HashMap<u64, usize>,
    strangers: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One client's place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    user: Option<u64>,
}

/// The place of one who has not said who it is; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Stool {
    seats: Arc<Seats>,
    from: Option<IpAddr>,
}

/// Nobody has.
impl Default for Seats {
    fn default() -> Self {
        // So that the figures are there, as 0, before the first one comes.
        LazyLock::force(&METERS);
        Self {
            taken: Mutex::default(),
        }
    }
}

impl Seats {
    /// A place for one more client, where there may be `most`.
    pub(super) fn take(seats: &Arc<Self>, most: usize) -> Result<Seat, Problem> {
        let mut taken = seats.taken.lock();
        if taken.all >= most {
            let detail = format!("there are {} clients; {most} are served at once", taken.all);
            return Err(Problem::new(Code::TooManyClients, detail));
        }
        taken.all += 1;
        Ok(Seat {
            seats: Arc::clone(seats),
            user: None,
        })
    }

    /// A place for one who has not said who it is. `from`: the address; absent: not known,
    /// and not limited.
    pub(super) fn wait(seats: &Arc<Self>, from: Option<IpAddr>) -> Result<Stool, Problem> {
        let from = from.map(network);
        let mut taken = seats.taken.lock();
        let of_address = from.and_then(|from| taken.by_address.get(&from).copied());
        let full = match of_address {
            _ if taken.strangers >= STRANGERS => Some((STRANGERS, "")),
            Some(STRANGERS_PER_ADDRESS..) => Some((STRANGERS_PER_ADDRESS, " of this address")),
            _ => None,
        };
        if let Some((most, whose)) = full {
            let detail = format!("{most} clients{whose} have not said yet who they are");
            return Err(Problem::new(Code::TooManyClients, detail));
        }
        taken.strangers += 1;
        if let Some(from) = from {
            *taken.by_address.entry(from).or_default() += 1;
        }
        drop(taken);
        Ok(Stool {
            seats: Arc::clone(seats),
            from,
        })
    }
}

impl Drop for Stool {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock();
        taken.strangers -= 1;
        if let Some(from) = self.from
            && let Some(of_address) = taken.by_address.get_mut(&from)
        {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&from);
            }
        }
    }
}

impl Seat {
    /// Makes it that of a user, who may have `most`.
    pub(super) fn of_user(mut self, user: Option<u64>, most: usize) -> Result<Self, Problem> {
        let Some(user) = user else {
            return Ok(self);
        };
        let mut taken = self.seats.taken.lock();
        let of_user = taken.by_user.entry(user).or_default();
        if *of_user >= most {
            let detail =
                format!("user {user} has {of_user} clients; {most} of one user are served at once");
            drop(taken);
            return Err(Problem::new(Code::TooManyClients, detail));
        }
        *of_user += 1;
        drop(taken);
        self.user = Some(user);
        Ok(self)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock();
        taken.all -= 1;
        if let Some(user) = self.user
            && let Some(of_user) = taken.by_user.get_mut(&user)
        {
            *of_user -= 1;
            if *of_user == 0 {
                taken.by_user.remove(&user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_client_has_gone() {
        let seats = Arc::new(Seats::default());
        let one = Seats::take(&seats, 2).unwrap();
        let two = Seats::take(&seats, 2).unwrap();
        let refused = Seats::take(&seats, 2).unwrap_err();
        assert_eq!(refused.code, Code::TooManyClients);
        assert_eq!(refused.status, 503);
        drop(one);
        let one = Seats::take(&seats, 2).unwrap();
        drop((one, two));
        assert_eq!(seats.taken.lock().all, 0);
    }

    #[test]
    fn those_who_have_not_said_who_they_are_take_no_seats() {
        let seats = Arc::new(Seats::default());
        let wait = |from: &str| Seats::wait(&seats, Some(from.parse().unwrap()));
        let mut strangers: Vec<Stool> = (0..STRANGERS_PER_ADDRESS)
            .map(|host| wait(&format!("2001:db8::{host:x}")).unwrap())
            .collect();
        // Of one network, whatever the host.
        let refused = wait("2001:db8::ffff").unwrap_err();
        assert_eq!((refused.code, refused.status), (Code::TooManyClients, 503));
        strangers.push(wait("2001:db8:0:1::1").unwrap());
        while strangers.len() < STRANGERS {
            strangers.push(Seats::wait(&seats, None).unwrap());
        }
        assert_eq!(wait("192.0.2.1").unwrap_err().code, Code::TooManyClients);
        let seat = Seats::take(&seats, 1).unwrap();
        strangers.swap_remove(0);
        strangers.push(wait("2001:db8::ffff").unwrap());
        drop((seat, strangers));
        let taken = seats.taken.lock();
        assert!(taken.all == 0 && taken.strangers == 0 && taken.by_address.is_empty());
    }

    #[test]
    fn each_user_has_seats() {
        let seats = Arc::new(Seats::default());
        let take = |user| Seats::take(&seats, 10).and_then(|seat| seat.of_user(user, 2));
        let (a, b) = (take(Some(7)).unwrap(), take(Some(7)).unwrap());
        assert_eq!(take(Some(7)).unwrap_err().code, Code::TooManyClients);
        // What was refused has no seat at all.
        assert_eq!(seats.taken.lock().all, 2);
        let others = [take(Some(8)).unwrap(), take(None).unwrap()];
        drop(a);
        let again = take(Some(7)).unwrap();
        drop((again, b, others));
        let taken = seats.taken.lock();
        assert!(taken.all == 0 && taken.by_user.is_empty());
    }
}
