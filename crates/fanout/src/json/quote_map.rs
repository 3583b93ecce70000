use std::ops::Range;

use strikewire_quotes::Quote;
use strikewire_types::Mode;

use super::{write_changed, write_quote, write_text};

/// The `quotes` of a chain: an object of quotes by token. Each leg's text is kept until
/// its quote changes, so that writing the whole again costs little more than copying it.
///
/// ```
/// use strikewire_fanout::json::QuoteMap;
/// use strikewire_quotes::Quote;
/// use strikewire_types::{InstrumentKey, Mode, Segment, Utc};
///
/// let mut quotes = QuoteMap::new(Mode::Ticker);
/// let put = quotes.push("NIFTY_10FEB2026_25000PE");
/// let call = quotes.push("NIFTY_10FEB2026_25000CE");
/// let key = InstrumentKey::new(Segment::NseFno, 1);
/// quotes.set(call, &Quote::new(key, Utc::from_nanos(0)));
/// let mut out = Vec::new();
/// quotes.write(&mut out);
/// assert_eq!(out, br#"{"NIFTY_10FEB2026_25000CE":{"recv":"1970-01-01T05:30:00.000+05:30"}}"#);
/// assert_eq!(quotes.quote(put), None);
/// ```
#[derive(Debug)]
pub struct QuoteMap {
    mode: Mode,
    legs: Vec<Leg>,
    /// Tokens with quotes and colon, one after the other.
    names: Vec<u8>,
    /// Members after commas, as they were last written; with some that are not true any
    /// more among them.
    texts: Vec<u8>,
    /// How much of it is true.
    bytes: usize,
}

#[derive(Debug)]
struct Leg {
    name: Range<usize>,
    quote: Option<Quote>,
    text: Range<usize>,
    stale: bool,
}

impl QuoteMap {
    /// Without legs; the quotes are written in `mode`.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self {
            mode,
            legs: Vec::new(),
            names: Vec::new(),
            texts: Vec::new(),
            bytes: 0,
        }
    }

    /// Makes room for some more legs.
    pub fn reserve(&mut self, legs: usize) {
        self.legs.reserve(legs);
        self.names.reserve(legs * 32);
    }

    /// Adds a leg of which there is no quote yet; its place.
    pub fn push(&mut self, token: &str) -> usize {
        let start = self.names.len();
        write_text(&mut self.names, token);
        self.names.push(b':');
        self.legs.push(Leg {
            name: start..self.names.len(),
            quote: None,
            text: 0..0,
            stale: false,
        });
        self.legs.len() - 1
    }

    /// Sets the quote of the leg at a place. Without effect where there is no leg.
    pub fn set(&mut self, at: usize, quote: &Quote) {
        if let Some(leg) = self.legs.get_mut(at)
            && leg.quote.as_ref() != Some(quote)
        {
            leg.quote = Some(*quote);
            leg.stale = true;
        }
    }

    /// The quote of the leg at a place; absent when there is none yet.
    #[must_use]
    pub fn quote(&self, at: usize) -> Option<&Quote> {
        self.legs.get(at)?.quote.as_ref()
    }

    /// Sets the quote of a leg and writes, as a member after a comma, what changed of it.
    /// False, with nothing written, if nothing did.
    pub(crate) fn change(&mut self, at: usize, quote: &Quote, out: &mut Vec<u8>) -> bool {
        let Some(leg) = self.legs.get_mut(at) else {
            return false;
        };
        if leg.quote.as_ref() == Some(quote) {
            return false;
        }
        let start = out.len();
        out.push(b',');
        out.extend_from_slice(&self.names[leg.name.clone()]);
        let written = match &leg.quote {
            Some(old) => write_changed(out, old, quote, self.mode),
            None => {
                write_quote(out, quote, self.mode);
                true
            }
        };
        leg.quote = Some(*quote);
        if written {
            leg.stale = true;
        } else {
            // What changed is not in this mode.
            out.truncate(start);
        }
        written
    }

    /// Sets the quote of a leg, if any, to what another map has at `from`.
    pub(crate) fn take(&mut self, at: usize, other: &Self, from: usize) {
        if let Some(quote) = other.quote(from) {
            self.set(at, quote);
        }
    }

    /// Writes the object, encoding what changed since the last time.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        self.renew();
        let start = out.len();
        out.reserve(self.bytes + 2);
        let known = self.legs.iter().filter(|leg| leg.quote.is_some());
        // Neighbours in the text are copied in one go.
        let mut run = 0..0;
        for leg in known {
            if leg.text.start == run.end {
                run.end = leg.text.end;
            } else {
                out.extend_from_slice(&self.texts[run]);
                run = leg.text.clone();
            }
        }
        out.extend_from_slice(&self.texts[run]);
        if out.len() == start {
            out.push(b'{');
        } else {
            out[start] = b'{';
        }
        out.push(b'}');
    }

    /// Brings the texts up to date.
    fn renew(&mut self) {
        if self.texts.len() > 2 * self.bytes {
            // More than half is not true any more: copied once, it is gone.
            let old = std::mem::take(&mut self.texts);
            for leg in &mut self.legs {
                let start = self.texts.len();
                self.texts.extend_from_slice(&old[leg.text.clone()]);
                leg.text = start..self.texts.len();
            }
        }
        let stale = self.legs.iter().filter(|leg| leg.stale).count();
        let most = match self.mode {
            Mode::Ticker => 150,
            Mode::Quote => 400,
            Mode::Full => 1100,
        };
        self.texts.reserve(stale * most);
        for leg in &mut self.legs {
            if let Some(quote) = leg.quote.as_ref().filter(|_| leg.stale) {
                leg.stale = false;
                self.bytes -= leg.text.len();
                let start = self.texts.len();
                self.texts.push(b',');
                self.texts.extend_from_slice(&self.names[leg.name.clone()]);
                write_quote(&mut self.texts, quote, self.mode);
                leg.text = start..self.texts.len();
                self.bytes += leg.text.len();
            }
        }
    }
}
