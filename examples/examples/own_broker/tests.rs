//! What every adapter has to do, done by this one; and the whole with a client.

use std::net::SocketAddr;
use std::time::Duration;

use strikewire_broker::conformance::{Case, Listed, Rig, Seat};
use strikewire_examples::made_up_master;
use strikewire_gateway::registry::{LoadOptions, Registry};
use strikewire_gateway::types::{Clock, InstrumentKey, Price, SCALE, Segment};

use crate::adapter::BazaarFeed;
use crate::bazaar::Bazaar;
use crate::first_messages;
use crate::house::House;

struct BazaarRig {
    bazaar: Bazaar,
    registry: Registry,
}

fn start() -> BazaarRig {
    let options = LoadOptions::new("2026-02-09".parse().unwrap());
    let registry = Registry::from_reader(made_up_master().as_bytes(), &options).unwrap();
    let clock = Clock::simulated("2026-02-09T10:00:00+05:30".parse().unwrap());
    BazaarRig {
        bazaar: Bazaar::of(&registry, clock),
        registry,
    }
}

impl Rig for BazaarRig {
    type Feed = BazaarFeed;

    fn feed(&mut self) -> BazaarFeed {
        BazaarFeed::new(self.bazaar.clone(), &self.secret())
    }

    fn instruments(&self) -> Vec<Listed> {
        let listed = self.registry.instruments().map(|instrument| Listed {
            key: instrument.key(),
            step: instrument.tick(),
        });
        listed.collect()
    }

    fn secret(&self) -> String {
        "s3cr3t-key".to_owned()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn seats(&self) -> Vec<Seat> {
        let key = |id| match self.registry.by_key(InstrumentKey::new(Segment::NseEq, id)) {
            Some(stock) => stock.key(),
            None => InstrumentKey::new(Segment::NseFno, id),
        };
        let seats = self.bazaar.seats().into_iter().map(|(id, held)| Seat {
            id,
            held: held.into_iter().map(|(id, mode)| (key(id), mode)).collect(),
        });
        seats.collect()
    }

    fn goodbyes(&self) -> usize {
        self.bazaar.goodbyes()
    }

    fn cut(&mut self, seat: u64) {
        self.bazaar.cut(seat);
    }

    fn close(&mut self, seat: u64) {
        self.bazaar.close(seat);
    }

    fn refuse(&mut self, attempts: usize) {
        self.bazaar.refuse(attempts);
    }

    fn update(&mut self, key: InstrumentKey, price: Price) {
        let paise = price.raw() * 100 / SCALE;
        assert_eq!(paise * SCALE / 100, price.raw(), "whole paise");
        self.bazaar.trade(key.id.0, paise);
    }

    fn sent(&self, key: InstrumentKey) -> u64 {
        self.bazaar.sent(key.id.0)
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

fn check(case: Case) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Err(failure) = runtime.block_on(case.run(start())) {
        panic!("{failure}");
    }
}

strikewire_broker::conformance_tests!(check);

#[tokio::test(flavor = "multi_thread")]
async fn ticks_of_the_own_broker_arrive_at_a_client_of_the_stream() {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let house = House::open(any_port).await.unwrap();
    let messages = tokio::time::timeout(Duration::from_secs(30), first_messages(house.addr, 6))
        .await
        .expect("messages come")
        .unwrap();
    assert_eq!(messages[0]["type"], "ack", "{messages:?}");
    assert_eq!(messages[1]["type"], "snapshot", "{messages:?}");
    assert_eq!(messages[1]["chain"]["symbol"], "TCS");
    assert_eq!(messages[1]["chain"]["strikes"].as_array().unwrap().len(), 3);
    let deltas = messages.iter().filter(|message| message["type"] == "delta");
    let set = deltas.filter_map(|delta| delta["set"].as_object());
    let prices = set.flat_map(|legs| legs.values().map(|leg| leg["ltp"].as_f64()));
    assert!(prices.flatten().any(|price| price > 0.0), "{messages:?}");
    house.close().await.unwrap();
}
