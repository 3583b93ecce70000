use core::future::Future;
use core::time::Duration;

use strikewire_types::Now;

use crate::{Error, Gone, LeaseKey, Leased, Record, Released, Subscriber, Totals};

/// Who keeps which indicator alive, and the latest values.
///
/// All of it may be repeated: a subscriber counts once however often it subscribes, and who
/// lets go of what it does not hold changes nothing. An answer that was lost therefore costs
/// nothing but knowing who was first or last.
///
/// # Errors
///
/// All fail with [`Error::Unavailable`] when the store is away; what was asked may then have
/// been done or not. [`Error::Session`] where the subscriber is none. [`MemoryLeases`] is
/// never away.
///
/// # Cancel safety
///
/// An operation that is dropped may have been done or not; it is never done by half.
///
/// [`MemoryLeases`]: crate::MemoryLeases
pub trait Leases: Send + Sync + 'static {
    /// Takes the keys for a subscriber; for those it holds already this is a heartbeat. A
    /// `websocket` replaces the one in the record, `None` leaves it. One answer per key.
    fn subscribe(
        &self,
        now: Now,
        who: &Subscriber,
        websocket: Option<&str>,
        keys: &[LeaseKey],
    ) -> impl Future<Output = Result<Vec<Leased>, Error>> + Send;

    /// Lets go of the keys, for exactly this user and session. One answer per key.
    fn unsubscribe(
        &self,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> impl Future<Output = Result<Vec<Released>, Error>> + Send;

    /// As [`unsubscribe`](Self::unsubscribe), but only of those keys whose record names this
    /// websocket for the subscriber, or none: it may have come back by another one, perhaps
    /// through another node. What another one holds is answered with `was_held`, and stays.
    fn leave(
        &self,
        who: &Subscriber,
        websocket: &str,
        keys: &[LeaseKey],
    ) -> impl Future<Output = Result<Vec<Released>, Error>> + Send;

    /// Says that the subscriber is still there. One answer per key: whether it holds it. A
    /// key that it does not hold stays so.
    fn heartbeat(
        &self,
        now: Now,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> impl Future<Output = Result<Vec<bool>, Error>> + Send;

    /// Lets go of everything of exactly this session; of any user when `user` is absent.
    fn release(
        &self,
        now: Now,
        session: &str,
        user: Option<u64>,
    ) -> impl Future<Output = Result<Vec<Gone>, Error>> + Send;

    /// Lets go of those that were not heard of for [`Settings::idle`], and says who it was:
    /// each is told to one caller only, however many sweep.
    ///
    /// [`Settings::idle`]: crate::Settings::idle
    fn sweep(&self, now: Now) -> impl Future<Output = Result<Vec<Gone>, Error>> + Send;

    /// Whether the record has this subscriber, for each pair; nothing is renewed.
    fn alive(
        &self,
        pairs: &[(Subscriber, LeaseKey)],
    ) -> impl Future<Output = Result<Vec<bool>, Error>> + Send;

    /// The record of a key; absent: nobody wants it.
    fn record(&self, key: &LeaseKey) -> impl Future<Output = Result<Option<Record>, Error>> + Send;

    /// All records, or those of a symbol or timeframe, by key.
    fn active(
        &self,
        symbol: Option<&str>,
        timeframe: Option<&str>,
    ) -> impl Future<Output = Result<Vec<(LeaseKey, Record)>, Error>> + Send;

    /// How much there is.
    fn totals(&self) -> impl Future<Output = Result<Totals, Error>> + Send;

    /// Writes latest values, each a text in JSON with the time it lasts.
    fn put_values(
        &self,
        now: Now,
        values: &[(LeaseKey, String, Duration)],
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The latest value; absent: there is none, or it has ended.
    fn value(
        &self,
        now: Now,
        key: &LeaseKey,
    ) -> impl Future<Output = Result<Option<String>, Error>> + Send;

    /// Has values last for so long from now; where there is none nothing happens.
    fn renew_values(
        &self,
        now: Now,
        keys: &[(LeaseKey, Duration)],
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes values away.
    fn drop_values(&self, keys: &[LeaseKey]) -> impl Future<Output = Result<(), Error>> + Send;
}
