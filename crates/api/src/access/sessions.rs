//! Sessions: what a user's indicators hang on. A session's id is no credential.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use strikewire_gateway::types::Mono;

use crate::{Code, Problem};

/// Sessions of one user at once; one more ends the one that was not used for longest.
const PER_USER: usize = 1_000;
/// Sessions at once.
const IN_ALL: usize = 100_000;
/// Characters of a session's id.
const ID_LIMIT: usize = 128;

/// A session that has ended without a logout: nobody used it, or the user began too many.
/// What hangs on it is to be let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its id.
    pub session_id: Arc<str>,
    /// Whose it was.
    pub user: u64,
    /// Whether it had to go because there were too many; else nobody used it.
    pub displaced: bool,
}

/// The sessions under way that this node knows.
#[derive(Debug, Default)]
pub struct Sessions {
    // Several indexes that change together: one lock, held for a few look-ups.
    table: Mutex<Table>,
}

/// When a session was last used, and a number that makes it unique. Orders by age.
type Age = (Mono, u64);

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<Arc<str>, Session>,
    by_age: BTreeMap<Age, Arc<str>>,
    by_user: HashMap<u64, BTreeSet<Age>>,
    /// Ended by others, and not told yet.
    displaced: Vec<Ended>,
    uses: u64,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    user: u64,
    age: Age,
}

impl Sessions {
    /// Whether a text can be a session's id: 1 to 128 of `[A-Za-z0-9._-]`.
    #[must_use]
    pub fn is_id(text: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        (1..=ID_LIMIT).contains(&text.len()) && text.bytes().all(allowed)
    }

    /// Begins a session of `user`; its id, 32 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// When the operating system gives no random bits.
    pub fn begin(&self, user: u64, now: Mono) -> Result<Arc<str>, Problem> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|_| Problem::new(Code::Internal, "there are no random bits for a session"))?;
        let session_id: Arc<str> = format!("{:032x}", u128::from_be_bytes(random)).into();
        self.table.lock().begin(Arc::clone(&session_id), user, now);
        Ok(session_id)
    }

    /// Counts as a use of the session; whose it is. Absent: there is no such session, or it
    /// was not used for `idle`.
    pub fn touch(&self, id: &str, now: Mono, idle: Duration) -> Option<u64> {
        self.table.lock().touch(id, now, idle)
    }

    /// Takes note of a session that began elsewhere.
    pub(super) fn take_over(&self, id: &str, user: u64, now: Mono) {
        let mut table = self.table.lock();
        // It may have been twice at once.
        if !table.sessions.contains_key(id) {
            table.begin(id.into(), user, now);
        }
    }

    /// Whose session it is; absent: there is none.
    #[must_use]
    pub fn user_of(&self, id: &str) -> Option<u64> {
        Some(self.table.lock().sessions.get(id)?.user)
    }

    /// Ends a session; whether it was there.
    pub fn end(&self, id: &str) -> bool {
        self.table.lock().remove(id).is_some()
    }

    /// Ends the sessions that were not used for `idle`; those, and others that ended since
    /// the last call and were not logged out.
    pub fn expire(&self, now: Mono, idle: Duration) -> Vec<Ended> {
        self.table.lock().expire(now, idle)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lock().sessions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Table {
    fn begin(&mut self, id: Arc<str>, user: u64, now: Mono) {
        let of_user = self.by_user.get(&user);
        let oldest = if of_user.is_some_and(|ages| ages.len() >= PER_USER) {
            of_user.and_then(BTreeSet::first)
        } else if self.sessions.len() >= IN_ALL {
            self.by_age.keys().next()
        } else {
            None
        };
        if let Some(id) = oldest.and_then(|age| self.by_age.get(age)).cloned() {
            let ended = self.remove(&id);
            self.displaced.extend(ended.map(|ended| Ended {
                displaced: true,
                ..ended
            }));
        }
        let age = self.age(now);
        self.by_age.insert(age, Arc::clone(&id));
        self.by_user.entry(user).or_default().insert(age);
        self.sessions.insert(id, Session { user, age });
    }

    fn touch(&mut self, id: &str, now: Mono, idle: Duration) -> Option<u64> {
        let (id, session) = self
            .sessions
            .get_key_value(id)
            .filter(|(_, it)| now.since(it.age.0) < idle)?;
        let (id, old, user) = (Arc::clone(id), session.age, session.user);
        let age = self.age(now);
        self.by_age.remove(&old);
        self.by_age.insert(age, Arc::clone(&id));
        let of_user = self.by_user.entry(user).or_default();
        of_user.remove(&old);
        of_user.insert(age);
        self.sessions.insert(id, Session { user, age });
        Some(user)
    }

    fn remove(&mut self, id: &str) -> Option<Ended> {
        let (session_id, Session { user, age }) = self.sessions.remove_entry(id)?;
        self.by_age.remove(&age);
        if let Some(ages) = self.by_user.get_mut(&user) {
            ages.remove(&age);
            if ages.is_empty() {
                self.by_user.remove(&user);
            }
        }
        Some(Ended {
            session_id,
            user,
            displaced: false,
        })
    }

    fn expire(&mut self, now: Mono, idle: Duration) -> Vec<Ended> {
        let mut ended = core::mem::take(&mut self.displaced);
        while let Some((age, id)) = self.by_age.first_key_value()
            && now.since(age.0) >= idle
        {
            let id = Arc::clone(id);
            ended.extend(self.remove(&id));
        }
        ended
    }

    fn age(&mut self, now: Mono) -> Age {
        self.uses += 1;
        (now, self.uses)
    }
}

pub(super) fn unknown() -> Problem {
    Problem::new(
        Code::UnknownSession,
        "there is no such session, or it has ended: POST /api/v2/auth/login begins one",
    )
    .field("session_id")
}

pub(super) fn another() -> Problem {
    Problem::new(Code::Forbidden, "the session is another user's").field("session_id")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IDLE: Duration = Duration::from_secs(100);

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_session_lasts_as_long_as_it_is_used() {
        let sessions = Sessions::default();
        let begun = sessions.begin(7, at(0)).unwrap();
        let id = &*begun;
        assert!(Sessions::is_id(id), "{id}");
        assert_eq!(id.len(), 32);
        assert_eq!(sessions.touch(id, at(99), IDLE), Some(7));
        assert_eq!(sessions.touch(id, at(198), IDLE), Some(7));
        assert_eq!(sessions.expire(at(297), IDLE), []);
        // Idle for long enough, though nobody has swept.
        assert_eq!(sessions.touch(id, at(298), IDLE), None);
        let ended = Ended {
            session_id: Arc::clone(&begun),
            user: 7,
            displaced: false,
        };
        assert_eq!(sessions.expire(at(298), IDLE), [ended]);
        assert_eq!(sessions.expire(at(298), IDLE), []);
        assert!(sessions.is_empty());
    }

    #[test]
    fn a_session_is_one_users() {
        let sessions = Sessions::default();
        let id = sessions.begin(7, at(0)).unwrap();
        let other = sessions.begin(7, at(0)).unwrap();
        assert_ne!(id, other);
        assert_eq!(sessions.user_of(&id), Some(7));
        assert!(sessions.end(&id));
        assert!(!sessions.end(&id));
        assert_eq!(sessions.touch(&id, at(1), IDLE), None);
        assert_eq!(sessions.user_of(&id), None);
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn one_more_than_a_user_may_have_ends_the_least_used() {
        let sessions = Sessions::default();
        let first = sessions.begin(7, at(0)).unwrap();
        let second = sessions.begin(7, at(0)).unwrap();
        let others = sessions.begin(8, at(0)).unwrap();
        for _ in 2..PER_USER {
            sessions.begin(7, at(1)).unwrap();
        }
        sessions.touch(&first, at(2), IDLE).unwrap();
        assert_eq!(sessions.expire(at(3), IDLE), []);
        sessions.begin(7, at(4)).unwrap();
        let ended = sessions.expire(at(4), IDLE);
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].session_id, second);
        assert!(ended[0].displaced);
        assert_eq!(sessions.len(), PER_USER + 1);
        assert_eq!(sessions.user_of(&others), Some(8));
    }

    #[test]
    fn ids_of_others_are_taken_by_their_letters() {
        let long = "a".repeat(ID_LIMIT);
        for id in ["a", "A.b_c-9", &long] {
            assert!(Sessions::is_id(id), "{id}");
        }
        let longer = "a".repeat(ID_LIMIT + 1);
        for id in ["", "a b", "a/b", "\u{e9}", "a\0", &longer] {
            assert!(!Sessions::is_id(id), "{id}");
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Begin(u64),
        Touch(usize),
        TakeOver(usize, u64),
        End(usize),
        Expire,
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..4_u64).prop_map(Step::Begin),
            (0..20_usize).prop_map(Step::Touch),
            (0..20_usize, 0..4_u64).prop_map(|(which, user)| Step::TakeOver(which, user)),
            (0..20_usize).prop_map(Step::End),
            Just(Step::Expire),
            (0..60_u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// Against a list that is searched from end to end.
        #[test]
        fn any_use_is_as_a_plain_list_says(steps in prop::collection::vec(step(), 0..80)) {
            let sessions = Sessions::default();
            let mut all: Vec<Arc<str>> = Vec::new();
            let mut model: Vec<(Arc<str>, u64, u64)> = Vec::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Begin(user) => {
                        let id = sessions.begin(user, at(now)).unwrap();
                        all.push(Arc::clone(&id));
                        model.push((id, user, now));
                    }
                    Step::Touch(which) => {
                        let Some(id) = all.get(which) else { continue };
                        let found = model.iter_mut().find(|(it, _, used)| it == id && now - *used < 100);
                        let expected = found.map(|(_, owner, used)| {
                            *used = now;
                            *owner
                        });
                        prop_assert_eq!(sessions.touch(id, at(now), IDLE), expected);
                    }
                    Step::TakeOver(which, user) => {
                        let Some(id) = all.get(which) else { continue };
                        sessions.take_over(id, user, at(now));
                        if !model.iter().any(|(it, ..)| it == id) {
                            model.push((Arc::clone(id), user, now));
                        }
                    }
                    Step::End(which) => {
                        let Some(id) = all.get(which) else { continue };
                        let before = model.len();
                        model.retain(|(it, ..)| it != id);
                        prop_assert_eq!(sessions.end(id), model.len() < before);
                    }
                    Step::Expire => {
                        let (gone, kept): (Vec<_>, Vec<_>) =
                            model.drain(..).partition(|(_, _, used)| now - *used >= 100);
                        model = kept;
                        let mut gone: Vec<_> = gone.into_iter().map(|(id, user, _)| (id, user)).collect();
                        let mut ended: Vec<_> = sessions
                            .expire(at(now), IDLE)
                            .into_iter()
                            .map(|it| (it.session_id, it.user))
                            .collect();
                        gone.sort();
                        ended.sort();
                        prop_assert_eq!(ended, gone);
                    }
                    Step::Pass(seconds) => now += seconds,
                }
                prop_assert_eq!(sessions.len(), model.len());
                let table = sessions.table.lock();
                prop_assert_eq!(table.by_age.len(), table.sessions.len());
                let of_users: usize = table.by_user.values().map(BTreeSet::len).sum();
                prop_assert_eq!(of_users, table.sessions.len());
            }
        }
    }
}
