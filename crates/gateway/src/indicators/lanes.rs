//! Does what is asked for, for each subscriber one after the other.

use core::time::Duration;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use strikewire_fanout::ValueId;
use strikewire_leases::{LeaseKey, Leased, Released, Subscriber};
use strikewire_types::Mono;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

use super::ComputeSpec;
use super::service::{Service, Swept};
use crate::Error;

/// How often the store is told what it was not told at once.
const RETRY: Duration = Duration::from_secs(1);

/// What is asked for. All of it goes through one queue: what is asked first is done first,
/// and goes on when whoever asked goes away.
#[derive(Debug)]
pub(super) enum Request {
    /// Something for one subscriber.
    Op { who: Subscriber, op: Op },
    /// A socket closed.
    ReleaseSocket { socket: Arc<str> },
    /// A session ended, of one user or of any. How many leases were let go of.
    ReleaseSession {
        session: Arc<str>,
        user: Option<u64>,
        reply: oneshot::Sender<usize>,
    },
    /// Instruments are not listed any more.
    Delisted { keys: Vec<LeaseKey> },
}

/// What is done for a subscriber.
#[derive(Debug)]
pub(super) enum Op {
    Subscribe {
        socket: Option<Arc<str>>,
        specs: Vec<ComputeSpec>,
        reply: oneshot::Sender<Result<Vec<(Leased, ValueId)>, Error>>,
    },
    Unsubscribe {
        keys: Vec<LeaseKey>,
        reply: oneshot::Sender<Vec<Released>>,
    },
    Heartbeat {
        keys: Vec<LeaseKey>,
        /// What they are, for those that are to be taken over.
        specs: Vec<ComputeSpec>,
        reply: oneshot::Sender<Vec<bool>>,
    },
    LetGo {
        socket: Arc<str>,
        /// Absent: all that the socket holds.
        keys: Option<Vec<LeaseKey>>,
        reply: Option<oneshot::Sender<()>>,
    },
    Release {
        reply: oneshot::Sender<usize>,
    },
    Delist {
        keys: Vec<LeaseKey>,
    },
    Expire {
        keys: Vec<LeaseKey>,
    },
    Check {
        keys: Vec<LeaseKey>,
    },
    Settle,
    /// The store may have lost what it was told.
    Retell,
}

impl Op {
    /// Whether it may give a socket leases.
    fn is_of(&self, socket: &str) -> bool {
        matches!(self, Self::Subscribe { socket: Some(of), .. } if **of == *socket)
    }

    async fn run(self, service: &Service, who: &Subscriber) {
        // Whoever asked may have gone: an answer that nobody takes is no mistake.
        match self {
            Self::Subscribe {
                socket,
                specs,
                reply,
            } => {
                let leased = service.subscribe(who, socket.as_ref(), &specs).await;
                let _ = reply.send(leased);
            }
            Self::Unsubscribe { keys, reply } => {
                let _ = reply.send(service.unsubscribe(who, &keys).await);
            }
            Self::Heartbeat { keys, specs, reply } => {
                let _ = reply.send(service.heartbeat(who, &keys, &specs).await);
            }
            Self::LetGo {
                socket,
                keys,
                reply,
            } => {
                service.let_go(who, &socket, keys.as_deref()).await;
                if let Some(reply) = reply {
                    let _ = reply.send(());
                }
            }
            Self::Release { reply } => {
                let _ = reply.send(service.release(who).await);
            }
            Self::Delist { keys } => service.delist(who, &keys).await,
            Self::Expire { keys } => service.expire(who, &keys),
            Self::Check { keys } => service.check(who, &keys).await,
            Self::Settle => {
                service.settle(who).await;
            }
            Self::Retell => service.retell(who).await,
        }
        service.tidy(who);
    }
}

/// What has been asked for one subscriber and is not done.
#[derive(Debug, Default)]
struct Lane {
    /// The socket that what is under way may give leases to.
    under_way: Option<Arc<str>>,
    waiting: VecDeque<Op>,
}

/// Runs the lanes: requests of one subscriber one after the other, those of different ones
/// at the same time. Sweeps, and tells the store what it missed.
pub(super) struct Keeper {
    service: Arc<Service>,
    requests: UnboundedReceiver<Request>,
    sweep_every: Duration,
    lanes: HashMap<Subscriber, Lane>,
    running: JoinSet<Done>,
    is_sweeping: bool,
    /// The connection over which everybody was to be settled last.
    generation: u64,
}

/// What has ended.
#[derive(Debug)]
enum Done {
    Op(Subscriber),
    /// A session, where the store let go of it whoever's it was.
    Session(Option<Arc<str>>),
    Sweep(Swept),
}

impl Keeper {
    pub(super) fn new(
        service: Arc<Service>,
        requests: UnboundedReceiver<Request>,
        sweep_every: Duration,
    ) -> Self {
        Self {
            service,
            requests,
            sweep_every,
            lanes: HashMap::new(),
            running: JoinSet::new(),
            is_sweeping: false,
            generation: 0,
        }
    }

    /// Works until nobody can ask any more. Whatever is under way when this future is dropped
    /// ends with it.
    pub(super) async fn run(mut self) {
        let clock = self.service.clock;
        let mut next_sweep: Mono = clock.now().mono + self.sweep_every;
        let mut retry = tokio::time::interval(RETRY);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut health = self
            .service
            .store
            .as_ref()
            .map(|store| store.health().clone());
        loop {
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(request) => self.dispatch(request),
                    None => return,
                },
                Some(done) = self.running.join_next() => self.ended(done),
                () = clock.sleep_until(next_sweep) => {
                    next_sweep = clock.now().mono + self.sweep_every;
                    self.sweep();
                }
                _ = retry.tick(), if health.is_some() => self.settle_all(),
                true = changed(&mut health) => self.settle_all(),
            }
        }
    }

    fn dispatch(&mut self, request: Request) {
        match request {
            Request::Op { who, op } => self.push(who, op),
            Request::ReleaseSocket { socket } => {
                for who in self.of_socket(&socket) {
                    let op = Op::LetGo {
                        socket: Arc::clone(&socket),
                        keys: None,
                        reply: None,
                    };
                    self.push(who, op);
                }
            }
            Request::ReleaseSession {
                session,
                user,
                reply,
            } => self.release_session(session, user, reply),
            Request::Delisted { keys } => {
                let mut by_who: HashMap<Subscriber, Vec<LeaseKey>> = HashMap::new();
                for key in keys {
                    for who in self.service.book.lock().holders.of_key(&key) {
                        by_who.entry(who).or_default().push(key.clone());
                    }
                }
                for (who, keys) in by_who {
                    self.push(who, Op::Delist { keys });
                }
            }
        }
    }

    /// Those for whom a socket holds something, or may in a moment.
    fn of_socket(&self, socket: &str) -> Vec<Subscriber> {
        let held = self.service.book.lock().holders.of_socket(socket);
        let mut all: Vec<Subscriber> = held.into_iter().map(|(who, _)| who).collect();
        for (who, lane) in &self.lanes {
            let may = lane.under_way.as_deref() == Some(socket)
                || lane.waiting.iter().any(|op| op.is_of(socket));
            if may && !all.contains(who) {
                all.push(who.clone());
            }
        }
        all
    }

    fn release_session(
        &mut self,
        session: Arc<str>,
        user: Option<u64>,
        reply: oneshot::Sender<usize>,
    ) {
        let mut all = self.service.book.lock().holders.of_session(&session);
        all.extend(
            self.lanes
                .keys()
                .filter(|who| who.session == session)
                .cloned(),
        );
        if let Some(user) = user {
            // It may hold something that came through another node.
            let session = Arc::clone(&session);
            all.push(Subscriber { user, session });
            all.retain(|who| who.user == user);
        }
        all.sort_unstable();
        all.dedup();
        let mut answers = Vec::with_capacity(all.len());
        for who in all {
            let (reply, answer) = oneshot::channel();
            self.push(who, Op::Release { reply });
            answers.push(answer);
        }
        let service = Arc::clone(&self.service);
        self.running.spawn(async move {
            let mut count = 0;
            for answer in answers {
                count += answer.await.unwrap_or(0);
            }
            let released = match user {
                None => service.release_any(&session).await,
                Some(_) => None,
            };
            // Whoever asked may have gone.
            let _ = reply.send(count + released.unwrap_or(0));
            Done::Session(released.map(|_| session))
        });
    }

    /// The store has let go of a session: those who took something in it since are told to it
    /// again, before anything else of theirs.
    fn retell(&mut self, session: Option<&str>) {
        let Some(session) = session else { return };
        let held = self.service.book.lock().holders.of_session(session);
        let mut all: HashSet<Subscriber> = held.into_iter().collect();
        let lanes = self.lanes.keys();
        all.extend(lanes.filter(|who| &*who.session == session).cloned());
        for who in all {
            match self.lanes.get_mut(&who) {
                Some(lane) => lane.waiting.push_front(Op::Retell),
                None => self.push(who, Op::Retell),
            }
        }
    }

    fn push(&mut self, who: Subscriber, op: Op) {
        match self.lanes.get_mut(&who) {
            Some(lane) => lane.waiting.push_back(op),
            None => {
                self.lanes.insert(who.clone(), Lane::default());
                self.start(who, op);
            }
        }
    }

    fn start(&mut self, who: Subscriber, op: Op) {
        if let Some(lane) = self.lanes.get_mut(&who) {
            lane.under_way = match &op {
                Op::Subscribe { socket, .. } => socket.clone(),
                _ => None,
            };
        }
        let service = Arc::clone(&self.service);
        self.running.spawn(async move {
            op.run(&service, &who).await;
            Done::Op(who)
        });
    }

    fn ended(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Op(who)) => {
                let next = self
                    .lanes
                    .get_mut(&who)
                    .and_then(|it| it.waiting.pop_front());
                match next {
                    Some(op) => self.start(who, op),
                    None => {
                        self.lanes.remove(&who);
                    }
                }
            }
            Ok(Done::Session(session)) => self.retell(session.as_deref()),
            Ok(Done::Sweep(swept)) => {
                self.is_sweeping = false;
                for (who, keys) in swept.idle {
                    self.push(who, Op::Expire { keys });
                }
                for (who, keys) in swept.doubtful {
                    self.push(who, Op::Check { keys });
                }
                for who in swept.lost {
                    self.push(who, Op::Settle);
                }
            }
            // Leases are wrong if one half of a change was made: recovery is a restart.
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }

    fn sweep(&mut self) {
        if core::mem::replace(&mut self.is_sweeping, true) {
            return;
        }
        let service = Arc::clone(&self.service);
        self.running
            .spawn(async move { Done::Sweep(service.sweep().await) });
    }

    /// Has the store told everything that it does not know, if it can be.
    fn settle_all(&mut self) {
        let Some(store) = self.service.store.as_deref().filter(|store| store.is_up()) else {
            return;
        };
        let generation = store.generation();
        if core::mem::replace(&mut self.generation, generation) != generation {
            tracing::info!(generation, "The store of leases is there");
        }
        let (mut unsettled, sessions) = {
            let book = self.service.book.lock();
            let sessions = book.ledger.owed_any();
            (book.ledger.unsettled(generation), sessions)
        };
        // Whoever has a session that is to be released first comes after that.
        unsettled.retain(|who| !sessions.contains(&who.session));
        for who in unsettled {
            // Whatever is under way settles first.
            if !self.lanes.contains_key(&who) {
                self.push(who, Op::Settle);
            }
        }
        for session in sessions {
            let service = Arc::clone(&self.service);
            self.running.spawn(async move {
                let released = service.release_any(&session).await;
                Done::Session(released.map(|_| session))
            });
        }
    }
}

/// Waits until the health of the connection has changed; false where there is none, or its
/// end is known.
pub(super) async fn changed<T>(health: &mut Option<tokio::sync::watch::Receiver<T>>) -> bool {
    let Some(receiver) = health else {
        return core::future::pending().await;
    };
    if receiver.changed().await.is_err() {
        *health = None;
    }
    health.is_some()
}
