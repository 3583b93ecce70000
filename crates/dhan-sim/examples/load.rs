//! tmp
use std::sync::Arc;
use std::time::{Duration, Instant};
use strikewire_dhan_sim::core::*;
use strikewire_dhan_sim::generate::*;
use strikewire_dhan_sim::Config;
use strikewire_registry::*;
use strikewire_types::*;
fn main() {
    let as_of = "2026-02-09".parse().unwrap();
    let t = Instant::now();
    let mut m = Vec::new();
    println!("{:?}", generate(&Spec::new(as_of), &mut m).unwrap());
    println!("generate {:?}", t.elapsed());
    let t = Instant::now();
    let reg = Arc::new(Registry::from_reader(&m[..], &LoadOptions::new(as_of)).unwrap());
    println!("load {:?}", t.elapsed());
    let start: ClockSpec = "2026-02-09T10:00:00+05:30".parse().unwrap();
    let mut now = Now { utc: start.start, ..Now::default() };
    let t = Instant::now();
    let mut core = Core::new(reg.clone(), Config::default(), now);
    println!("core {:?}", t.elapsed());
    let mut keys: Vec<InstrumentKey> = Vec::new();
    keys.extend(reg.segment(Segment::IdxI).map(|i| i.key()));
    for l in reg.ladders() {
        if l.expiry() != reg.option_expiries(l.exchange(), l.symbol())[0] { continue; }
        if let Some(s) = l.price_source() { keys.push(s.key()); }
        let w = if l.kind() == Kind::OptionIndex { 50 } else { 12 };
        let mid = l.rungs().len() / 2;
        for r in &l.rungs()[mid.saturating_sub(w)..(mid + w + 1).min(l.rungs().len())] {
            for leg in [r.call(), r.put()].into_iter().flatten() { keys.push(reg.instrument(leg).key()); }
        }
    }
    keys.sort(); keys.dedup();
    println!("keys {}", keys.len());
    keys.truncate(25_000);
    let t = Instant::now();
    for c in keys.chunks(5000) {
        let id = core.handle_connect(now, "version=2&token=t&clientId=1&authType=2").unwrap();
        for b in c.chunks(100) {
            let list: Vec<String> = b.iter().map(|k| format!(r#"{{"ExchangeSegment":"{}","SecurityId":"{}"}}"#, k.segment, k.id)).collect();
            core.handle_text(now, id, &format!(r#"{{"RequestCode":21,"InstrumentCount":{},"InstrumentList":[{}]}}"#, b.len(), list.join(",")));
        }
    }
    let mut out = Vec::new();
    core.poll(now, &mut out);
    println!("subscribed {:?}: {:?} frames {}", t.elapsed(), core.counters().total(), out.len());
    let before = core.counters().total().packets;
    let t = Instant::now();
    for _ in 0..600 {
        now = now + Duration::from_millis(100);
        out.clear();
        core.poll(now, &mut out);
    }
    let took = t.elapsed();
    let packets = core.counters().total().packets - before;
    println!("a minute took {took:?}: {packets} packets, {:?} each, {:.2} per instrument and second", took / packets as u32, packets as f64 / 60.0 / keys.len() as f64);
}
