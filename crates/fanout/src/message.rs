//! The text of one message, shared by everybody it is for.

use core::fmt;

use bytes::Bytes;
use strikewire_types::Utc;

/// The text of one message. A clone is another reference to the same bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// UTF-8.
    text: Bytes,
    received: Option<Utc>,
}

impl Message {
    /// `text` is UTF-8, since it was put together from texts.
    pub(crate) fn new(text: impl Into<Bytes>, received: Option<Utc>) -> Self {
        Self {
            text: text.into(),
            received,
        }
    }

    /// The text, which is UTF-8.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.text
    }

    /// The text, which is UTF-8.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.text
    }

    /// The text as such. It is checked at every call: for tests and logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.text).unwrap_or_default()
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is no text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// When the oldest tick that the message tells of was received. Absent in answers,
    /// notices, and in what a subscription begins with, which may be old.
    #[must_use]
    pub const fn received(&self) -> Option<Utc> {
        self.received
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::new(text, None)
    }
}

impl From<&'static str> for Message {
    fn from(text: &'static str) -> Self {
        Self::new(text, None)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("text", &self.as_str())
            .field("received", &self.received)
            .finish()
    }
}
