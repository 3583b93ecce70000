//! How many clients there are, in all and of each user.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use super::meters::METERS;
use crate::{Code, Problem};

/// Who has come.
#[derive(Debug)]
pub(crate) struct Seats {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_user: HashMap<u64, usize>,
}

/// One client's place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    user: Option<u64>,
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
