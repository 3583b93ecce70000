use metrics::counter;
use strikewire_broker::ReferenceError;
use strikewire_indicators::Bar;

/// A minute was taken.
pub(super) fn minute(bar: &Bar) {
    let kind = if bar.complete { "final" } else { "incomplete" };
    counter!("strikewire_indicator_bars_total", "kind" => kind).increment(1);
}

/// A value of a bar that forms was computed.
pub(super) fn forming() {
    counter!("strikewire_indicator_bars_total", "kind" => "forming").increment(1);
}

pub(super) fn updated(values: u64) {
    counter!("strikewire_indicator_updates_total").increment(values);
}

pub(super) fn ticks(late: u64, out_of_session: u64) {
    if late > 0 {
        counter!("strikewire_indicator_late_ticks_total").increment(late);
    }
    if out_of_session > 0 {
        counter!("strikewire_indicator_out_of_session_ticks_total").increment(out_of_session);
    }
}

pub(super) fn warmed_up(done: bool) {
    counter!("strikewire_indicator_warmups_total", "result" => result(done)).increment(1);
}

pub(super) fn repaired(done: bool) {
    counter!("strikewire_indicator_repairs_total", "result" => result(done)).increment(1);
}

fn result(done: bool) -> &'static str {
    if done { "done" } else { "failed" }
}

/// Candles were asked for.
pub(super) fn asked<T>(result: &Result<T, ReferenceError>) {
    let outcome = result.as_ref().map_or_else(ReferenceError::kind, |_| "ok");
    counter!("strikewire_reference_calls_total", "call" => "candles", "outcome" => outcome)
        .increment(1);
}
