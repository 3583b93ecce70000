use serde::{Deserialize, Deserializer, Serialize};
use strikewire_types::{InstrumentKey, Mode, Segment};

/// Instruments that one message may carry.
pub const MAX_INSTRUMENTS: usize = 100;

/// What a message asks for. The depth of the first version of the feed (19, 20) and
/// the depth feeds (23 and on) are not spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RequestCode {
    /// 11: of the first version of the feed, without effect.
    Connect = 11,
    /// 12: the client leaves.
    Disconnect = 12,
    /// 15.
    SubscribeTicker = 15,
    /// 16.
    UnsubscribeTicker = 16,
    /// 17.
    SubscribeQuote = 17,
    /// 18.
    UnsubscribeQuote = 18,
    /// 21.
    SubscribeFull = 21,
    /// 22.
    UnsubscribeFull = 22,
}

impl RequestCode {
    /// Every code.
    pub const ALL: [Self; 8] = [
        Self::Connect,
        Self::Disconnect,
        Self::SubscribeTicker,
        Self::UnsubscribeTicker,
        Self::SubscribeQuote,
        Self::UnsubscribeQuote,
        Self::SubscribeFull,
        Self::UnsubscribeFull,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The code of a number on the wire.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// Asks for instruments in `mode`.
    #[must_use]
    pub const fn subscribe(mode: Mode) -> Self {
        match mode {
            Mode::Ticker => Self::SubscribeTicker,
            Mode::Quote => Self::SubscribeQuote,
            Mode::Full => Self::SubscribeFull,
        }
    }

    /// Lets go of instruments in `mode`.
    #[must_use]
    pub const fn unsubscribe(mode: Mode) -> Self {
        match mode {
            Mode::Ticker => Self::UnsubscribeTicker,
            Mode::Quote => Self::UnsubscribeQuote,
            Mode::Full => Self::UnsubscribeFull,
        }
    }

    /// The mode it is about; none for those that carry no instruments.
    #[must_use]
    pub const fn mode(self) -> Option<Mode> {
        match self {
            Self::Connect | Self::Disconnect => None,
            Self::SubscribeTicker | Self::UnsubscribeTicker => Some(Mode::Ticker),
            Self::SubscribeQuote | Self::UnsubscribeQuote => Some(Mode::Quote),
            Self::SubscribeFull | Self::UnsubscribeFull => Some(Mode::Full),
        }
    }

    /// Whether it asks for instruments.
    #[must_use]
    pub const fn is_subscribe(self) -> bool {
        matches!(
            self,
            Self::SubscribeTicker | Self::SubscribeQuote | Self::SubscribeFull
        )
    }
}

/// A message from a client, as JSON text. Codes are kept as they came, so that a
/// server can refuse the ones it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SubscribeRequest {
    /// See [`RequestCode`].
    pub request_code: u8,
    /// How many instruments there are; should equal the list's length.
    #[serde(default)]
    pub instrument_count: usize,
    /// The instruments; empty in a message without any.
    #[serde(default)]
    pub instrument_list: Vec<Instrument>,
}

/// One instrument of a [`SubscribeRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Instrument {
    /// The name of a [`Segment`].
    pub exchange_segment: String,
    /// The id: a string on the wire; a number is understood too.
    #[serde(deserialize_with = "text_or_number")]
    pub security_id: String,
}

impl From<InstrumentKey> for Instrument {
    fn from(key: InstrumentKey) -> Self {
        Self {
            exchange_segment: key.segment.to_string(),
            security_id: key.id.to_string(),
        }
    }
}

impl Instrument {
    /// The key, if the segment exists and the id is a number of 32 bits.
    #[must_use]
    pub fn key(&self) -> Option<InstrumentKey> {
        let segment: Segment = self.exchange_segment.parse().ok()?;
        let id = self.security_id.trim();
        if !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(InstrumentKey::new(segment, id.parse().ok()?))
    }
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(u64),
    }
    Ok(match Id::deserialize(deserializer)? {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
    })
}

/// The message of a client that leaves.
pub const DISCONNECT_REQUEST: &str = r#"{"RequestCode":12}"#;
