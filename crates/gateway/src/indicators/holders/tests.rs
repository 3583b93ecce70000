use parking_lot::Mutex;
use proptest::prelude::*;
use strikewire_broker::InstrumentClass;
use strikewire_calendar::Class;
use strikewire_fanout::ValueId;
use strikewire_indicators::Timeframe;
use strikewire_types::{InstrumentKey, PriceStep, Segment};

use super::*;
use crate::indicators::{ComputeState, Latest};

/// What the engine was told last of each key.
#[derive(Default)]
struct Told(Mutex<HashMap<LeaseKey, bool>>);

impl Compute for Told {
    fn want(&self, spec: ComputeSpec) {
        self.0.lock().insert(spec.key, spec.streamed);
    }
    fn unwant(&self, key: &LeaseKey) {
        assert!(self.0.lock().remove(key).is_some(), "{key}");
    }
    fn latest(&self, _: &LeaseKey) -> Option<Arc<Latest>> {
        None
    }
    fn value_id(&self, _: &LeaseKey) -> ValueId {
        ValueId(0)
    }
    fn state(&self, _: &LeaseKey) -> Option<ComputeState> {
        None
    }
}

fn spec(number: usize) -> ComputeSpec {
    let id = format!("SMA_{}", number + 2);
    ComputeSpec {
        key: LeaseKey::new("NIFTY", "5min", &id),
        instrument: InstrumentKey::new(Segment::IdxI, 13),
        master: 0,
        class: Class::NseCash,
        instrument_class: InstrumentClass::Index,
        step: PriceStep::from_raw(500),
        timeframe: Timeframe::MINUTE,
        id: id.parse().unwrap(),
        streamed: false,
    }
}

#[derive(Debug, Clone)]
enum Do {
    Hold(usize, Option<usize>, Vec<usize>),
    LetGo(usize, usize, Option<Vec<usize>>),
    Take(usize, Option<Vec<usize>>),
}

fn any_do() -> impl Strategy<Value = Do> {
    let keys = || prop::collection::vec(0_usize..5, 1..4);
    prop_oneof![
        3 => (0_usize..4, prop::option::of(0_usize..3), keys()).prop_map(|(a, b, c)| Do::Hold(a, b, c)),
        2 => (0_usize..4, 0_usize..3, prop::option::of(keys())).prop_map(|(a, b, c)| Do::LetGo(a, b, c)),
        1 => (0_usize..4, prop::option::of(keys())).prop_map(|(a, b)| Do::Take(a, b)),
    ]
}

/// Who, key, and the socket or none for a request: all there is to know.
type Model = BTreeSet<(usize, usize, Option<usize>)>;

proptest! {
    #[test]
    fn the_table_is_what_plain_sets_say(all in prop::collection::vec(any_do(), 1..80)) {
        let limits = Limits { per_user: 6, keys: 4 };
        let (told, mut holders, mut model) = (Told::default(), Holders::new(limits), Model::new());
        // Two users with two sessions each.
        let who: Vec<Subscriber> = (0..4)
            .map(|n| Subscriber::new(n / 2, ["a", "b"][n as usize % 2]).unwrap())
            .collect();
        let sockets: Vec<Arc<str>> = (0..3).map(|n| format!("s{n}").into()).collect();
        let key = |number: usize| spec(number).key;
        let keys = |numbers: &[usize]| numbers.iter().map(|n| key(*n)).collect::<Vec<_>>();
        for it in all {
            match it {
                Do::Hold(at, socket, numbers) => {
                    let mut then = model.clone();
                    then.extend(numbers.iter().map(|number| (at, *number, socket)));
                    let leases = |model: &Model, user: usize| {
                        let of = model.iter().filter(|(at, ..)| at / 2 == user);
                        of.map(|(at, number, _)| (*at, *number)).collect::<BTreeSet<_>>().len()
                    };
                    let computed = |model: &Model| {
                        model.iter().map(|(_, number, _)| *number).collect::<BTreeSet<_>>().len()
                    };
                    let fits = leases(&then, at / 2) <= 6 && computed(&then) <= 4;
                    let specs: Vec<ComputeSpec> = numbers.iter().map(|n| spec(*n)).collect();
                    let socket = socket.map(|socket| &sockets[socket]);
                    prop_assert_eq!(holders.hold(&who[at], socket, &specs, &told).is_ok(), fits);
                    if fits {
                        model = then;
                    }
                }
                Do::LetGo(at, socket, numbers) => {
                    let before = model.clone();
                    model.retain(|(who, number, by)| {
                        *who != at || *by != Some(socket)
                            || numbers.as_ref().is_some_and(|numbers| !numbers.contains(number))
                    });
                    let held = |model: &Model, number: usize| {
                        model.iter().any(|(who, held, _)| (*who, *held) == (at, number))
                    };
                    let gone: BTreeSet<LeaseKey> = (0..5)
                        .filter(|number| held(&before, *number) && !held(&model, *number))
                        .map(key)
                        .collect();
                    let numbers = numbers.as_deref().map(keys);
                    let said = holders.let_go(&who[at], &sockets[socket], numbers.as_deref(), &told);
                    let said: BTreeSet<LeaseKey> = said.into_values().flatten().collect();
                    prop_assert_eq!(said, gone);
                }
                Do::Take(at, numbers) => {
                    let mut gone = BTreeSet::new();
                    model.retain(|(who, number, by)| {
                        let stays = *who != at
                            || numbers.as_ref().is_some_and(|numbers| !numbers.contains(number));
                        if !stays {
                            gone.insert((key(*number), *by));
                        }
                        stays
                    });
                    let numbers = numbers.as_deref().map(keys);
                    let taken = holders.take(&who[at], numbers.as_deref(), &told);
                    let by_socket: BTreeSet<_> = taken
                        .iter()
                        .flat_map(|it| it.sockets.iter().map(|socket| (it.key.clone(), socket.clone())))
                        .collect();
                    let expected: BTreeSet<_> = gone
                        .iter()
                        .filter_map(|(key, by)| Some((key.clone(), sockets[(*by)?].clone())))
                        .collect();
                    prop_assert_eq!(by_socket, expected);
                    let keys: BTreeSet<_> = taken.into_iter().map(|it| it.key).collect();
                    prop_assert_eq!(keys, gone.into_iter().map(|(key, _)| key).collect());
                }
            }
            let pairs = model.iter().map(|(at, number, _)| (who[*at].clone(), key(*number)));
            prop_assert_eq!(holders.all(), pairs.collect::<BTreeSet<_>>());
            let mut computed: HashMap<LeaseKey, bool> = HashMap::new();
            for (_, number, by) in &model {
                *computed.entry(key(*number)).or_default() |= by.is_some();
            }
            prop_assert_eq!(&*told.0.lock(), &computed);
            for (at, who) in who.iter().enumerate() {
                for (socket, name) in sockets.iter().enumerate() {
                    for number in 0..5 {
                        let holds = model.contains(&(at, number, Some(socket)));
                        prop_assert_eq!(holders.holds_by(who, name, &key(number)), holds);
                    }
                }
            }
        }
        for who in &who {
            holders.take(who, None, &told);
        }
        prop_assert_eq!(holders.entries(), 0);
    }
}
