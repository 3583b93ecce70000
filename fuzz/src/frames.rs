use bytes::Bytes;
use strikewire_broker::{Gap, MarketState, Sink, Target, Update};
use strikewire_dhan::deliver::deliver;
use strikewire_dhan::split::{Piece, split};
use strikewire_types::{ConnId, InstrumentKey, Now, PriceStep, Segment, Slot};

/// Knows every other instrument, and counts.
#[derive(Default)]
struct Counting {
    step: u32,
    applied: u64,
    undecoded: u64,
    states: u64,
}

impl Sink for Counting {
    fn now(&self) -> Now {
        Now::default()
    }

    fn resolve(&self, key: InstrumentKey) -> Option<Target> {
        key.id.0.is_multiple_of(2).then_some(Target {
            key,
            slot: Slot(key.id.0),
            step: PriceStep::from_raw(self.step),
        })
    }

    fn apply(&mut self, _: ConnId, _: &Target, _: Now, _: &Update) {
        self.applied += 1;
    }

    fn market_state(&mut self, _: ConnId, _: Now, _: Segment, _: MarketState) {
        self.states += 1;
    }

    fn gap(&mut self, _: ConnId, _: Gap) {}

    fn frame(&mut self, _: ConnId, _: Now, _: &Bytes) {}

    fn undecoded(&mut self, _: ConnId, _: Now, _: u8, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "an empty piece");
        self.undecoded += 1;
    }

    fn turn_done(&mut self, _: Now) {}
}

/// A tick size and a frame: the splitter uses every byte once, and the decoder gives
/// or counts every packet once.
pub fn frames(data: &[u8]) {
    let (step, frame) = data.split_at(data.len().min(4));
    let mut at = 0;
    let mut pieces = 0;
    for piece in split(frame) {
        let (Piece::Packet { bytes, .. } | Piece::Undecoded { bytes, .. }) = piece;
        assert!(!bytes.is_empty(), "an empty piece");
        assert_eq!(bytes, &frame[at..at + bytes.len()], "not in order");
        at += bytes.len();
        pieces += 1;
    }
    assert_eq!(at, frame.len(), "bytes that are in no piece");

    let mut sink = Counting {
        step: step.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)),
        ..Counting::default()
    };
    let told = deliver(&mut sink, ConnId::from_index(0), Now::default(), frame);
    assert_eq!(told.applied, sink.applied);
    assert_eq!(told.undecoded, sink.undecoded);
    assert!(sink.states <= told.market_status);
    assert!(told.applied + told.unresolved + told.market_status <= told.packets);
    assert!(
        told.packets + told.undecoded >= pieces,
        "a piece without a trace"
    );
}
