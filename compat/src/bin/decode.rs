//! Says what Strikewire makes of frames: reads one per line from the standard input, in
//! hexadecimal, and prints an array of its packets as JSON, one line per frame. Prices are in
//! units of 0.0001 rupee, times in Unix seconds; null is unknown.

use std::io::{self, BufRead, Write};

use compat::{Said, decoded};
use strikewire_types::PriceStep;

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let frame = bytes(&line?)
            .ok_or_else(|| io::Error::other("a line is not bytes in hexadecimal"))?;
        let packets: Vec<String> = decoded(&frame, |_| PriceStep::PAISA)
            .iter()
            .map(json)
            .collect();
        writeln!(out, "[{}]", packets.join(","))?;
    }
    out.flush()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let hex = hex.trim().as_bytes();
    let (pairs, rest) = hex.as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes = pairs
        .iter()
        .map(|&[high, low]| u8::try_from(digit(high)? << 4 | digit(low)?).ok())
        .collect();
    rest.is_empty().then_some(bytes)?
}

fn json((kind, segment, id, fields): &Said) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| {
            let value = value.map_or_else(|| "null".to_owned(), |value| value.to_string());
            format!("\"{name}\":{value}")
        })
        .collect();
    let fields = fields.join(",");
    format!("{{\"kind\":\"{kind}\",\"segment\":{segment},\"id\":{id},\"fields\":{{{fields}}}}}")
}
