//! The suite on memory.

use std::sync::Arc;

use strikewire_leases::MemoryLeases;
use strikewire_types::Now;

use crate::suite::{Rig, contract, settings};

struct Memory(Arc<MemoryLeases>);

impl Rig for Memory {
    type Store = MemoryLeases;

    fn leases(&self) -> &Arc<MemoryLeases> {
        &self.0
    }

    async fn pass(&self, _now: Now) {}

    async fn check(&self) {}
}

async fn memory(_rule: &str) -> Option<Memory> {
    Some(Memory(Arc::new(MemoryLeases::new(settings()))))
}

contract!(memory);
