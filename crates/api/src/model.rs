//! The bodies of requests and answers.

mod answer;
mod indicator;
mod quote;
mod request;
mod stream;

pub use crate::access::login::{Login, LoginRequest, Logout, LogoutRequest};
pub use answer::{
    ActiveAnswer, ActiveView, AddAnswer, AuditAnswer, AuditView, ChainAnswer, EvictedView,
    ExpiriesAnswer, ExpiryView, InstrumentView, InvalidateAnswer, PlanAnswer, QuoteOrNone,
    QuotesAnswer, RebalanceAnswer, RemoveAnswer, SearchAnswer, SubscriptionAnswer,
    SubscriptionView, UnsubscribeAnswer, Warning, WatchlistAnswer,
};
pub use indicator::{
    ActiveIndicators, CatalogAnswer, HeartbeatAnswer, HeartbeatItem, HeartbeatRequest,
    HeartbeatResult, IndicatorName, IndicatorTotals, IndicatorsRequest, SubscribedAnswer,
    SubscribedIndicator, UnsubscribedAnswer, UnsubscribedIndicator,
};
pub use quote::{DepthView, QuoteView};
pub use request::{AddRequest, InvalidateRequest, PlanRequest, RemoveRequest, SubscribeRequest};
pub(crate) use request::{instrument_type, user_id, user_id_schema};
pub use stream::{
    ChainFields, MessageId, StreamClientMessage, StreamIndicator, StreamLease, StreamServerMessage,
    Subscribe, TickView,
};
