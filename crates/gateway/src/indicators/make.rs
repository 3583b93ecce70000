//! Puts the parts together.

use core::time::Duration;
use std::sync::Arc;

use parking_lot::Mutex;
use strikewire_calendar::Calendar;
use strikewire_fanout::ValueId;
use strikewire_leases::LeaseKey;
use strikewire_types::Clock;
use tokio::sync::mpsc;

use super::handle::Shared;
use super::lanes::{Keeper, Request};
use super::service::{Lost, Service};
use super::store::{Connected, Store};
use super::values::{self, Values};
use super::{
    Compute, ComputeSpec, ComputeState, Computing, IndicatorConfig, Indicators, Latest, LeaseSetup,
    Sink,
};
use crate::hub::HubCommand;
use crate::master::Shared as SharedMaster;
use crate::parts::Task;

/// What the handle is made of.
pub(crate) struct Made {
    pub(crate) config: IndicatorConfig,
    pub(crate) leases: LeaseSetup,
    pub(crate) computing: Computing,
    pub(crate) hub: mpsc::WeakUnboundedSender<HubCommand>,
    pub(crate) clock: Clock,
    pub(crate) master: SharedMaster,
    pub(crate) calendar: Arc<Calendar>,
}

/// Makes the handle, what the engine tells its values to, and the task that must run for
/// both to work. The task ends when nobody holds the handle any more; whatever it has under
/// way ends with it when it is dropped.
pub(crate) fn make(made: Made) -> (Indicators, Arc<dyn Sink>, Task) {
    let hub = made.hub;
    let tell = move |lost: Lost| {
        let Lost {
            socket,
            who,
            keys,
            detail,
        } = lost;
        if let Some(hub) = hub.upgrade() {
            // It has ended where it does not listen.
            let _ = hub.send(HubCommand::Released {
                socket,
                who,
                keys,
                detail,
            });
        }
    };
    let store = made
        .leases
        .shared
        .map(|redis| -> Box<dyn Store> { Box::new(Connected::redis(redis)) });
    let service = Service::new(
        &made.config,
        made.leases.settings,
        made.clock,
        Box::new(made.computing),
        store,
        Box::new(tell),
    );
    let setting = Setting {
        master: made.master,
        calendar: made.calendar,
        is_mock: made.leases.mock,
        sweep: made.config.sweep,
    };
    assemble(service, setting)
}

/// What the handle works in.
pub(super) struct Setting {
    pub(super) master: SharedMaster,
    pub(super) calendar: Arc<Calendar>,
    pub(super) is_mock: bool,
    pub(super) sweep: Duration,
}

pub(super) fn assemble(service: Service, setting: Setting) -> (Indicators, Arc<dyn Sink>, Task) {
    let (requests, incoming) = mpsc::unbounded_channel();
    let service = Arc::new(service);
    let weak = requests.downgrade();
    let values = Arc::new(Values::new(service.clock, move |keys| {
        if let Some(requests) = weak.upgrade() {
            // Where nobody listens nothing is computed any more.
            let _ = requests.send(Request::Delisted { keys });
        }
    }));
    let keeper = Keeper::new(Arc::clone(&service), incoming, setting.sweep);
    let writer = values::write(Arc::clone(&values), Arc::clone(&service));
    let task = async move {
        tokio::select! {
            () = keeper.run() => {}
            () = writer => {}
        }
    };
    let sink = Arc::clone(&values);
    let indicators = Indicators {
        shared: Arc::new(Shared {
            service,
            values,
            requests,
            master: setting.master,
            calendar: setting.calendar,
            is_mock: setting.is_mock,
            away: Mutex::new(None),
        }),
    };
    (indicators, sink, Box::pin(task))
}

impl Compute for Computing {
    fn want(&self, spec: ComputeSpec) {
        Computing::want(self, spec);
    }

    fn unwant(&self, key: &LeaseKey) {
        Computing::unwant(self, key);
    }

    fn latest(&self, key: &LeaseKey) -> Option<Arc<Latest>> {
        Computing::latest(self, key)
    }

    fn value_id(&self, key: &LeaseKey) -> ValueId {
        Computing::value_id(self, key)
    }

    fn state(&self, key: &LeaseKey) -> Option<ComputeState> {
        Computing::state(self, key)
    }
}
