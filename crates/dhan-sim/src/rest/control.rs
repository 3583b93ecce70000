use bytes::Bytes;
use strikewire_types::InstrumentKey;

use super::{RestCounters, RestFault, RestLimits};
use crate::server::SimHandle;

impl SimHandle {
    /// Answers the next `times` calls of paths that begin with `path` with this status
    /// and body, whatever they ask. Calls still count; limits are not looked at.
    pub fn fail_rest(&self, path: &str, status: u16, body: impl Into<Bytes>, times: u32) {
        self.add_rest_fault(RestFault::answer(path, status, body, times));
    }

    /// Adds a fault behind those that wait. One that answers and one that is slow can
    /// happen to the same call.
    pub fn add_rest_fault(&self, fault: RestFault) {
        self.rest_state().rest().lock().faults.add(fault);
    }

    /// Forgets all faults of the REST side that wait.
    pub fn clear_rest_faults(&self) {
        self.rest_state().rest().lock().faults.clear();
    }

    /// Changes how often may be asked from now on.
    pub fn set_rest_limits(&self, limits: RestLimits) {
        self.rest_state().rest().lock().limits.config = limits;
    }

    /// Shows these instruments, and no others, as never traded in quotes and chains. The
    /// feed knows nothing of it.
    pub fn set_untraded(&self, keys: impl IntoIterator<Item = InstrumentKey>) {
        self.rest_state().rest().lock().untraded.set(keys);
    }

    /// What `GET /api-scrip-master.csv` gives from now on; absent: the stand-in's own
    /// instruments.
    pub fn set_master(&self, file: Option<Bytes>) {
        self.rest_state().rest().lock().master.set(file);
    }

    /// What was counted on the REST side so far.
    #[must_use]
    pub fn rest_counters(&self) -> RestCounters {
        self.rest_state().rest().lock().counters.clone()
    }
}
