use bytes::Bytes;

/// What to do with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Send a binary frame.
    Frame(Bytes),
    /// From here on its bytes go like this.
    Transport(Transport),
    /// Close it; nothing follows.
    Close,
    /// Close it with a close frame; nothing follows.
    CloseFrame {
        /// The code in the frame.
        code: u16,
        /// The text in the frame.
        reason: String,
    },
    /// Reset it, without a word and without what was not written yet; nothing follows.
    Reset,
}

/// How the bytes of a connection go, beyond what is in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Transport {
    /// Nothing is sent, no pings either. The core sends no frames anyway.
    pub muted: bool,
    /// Nothing is read or sent, and it does not close by itself: half-open. The core
    /// keeps what it is told until that ends.
    pub deaf: bool,
    /// Bytes in one write at most.
    pub split: Option<usize>,
    /// How many bytes are read in a second.
    pub bytes_per_s: Option<u32>,
}

impl Transport {
    /// Whether the usual pings go out.
    #[must_use]
    pub const fn pings(self) -> bool {
        !self.muted && !self.deaf
    }
}
