//! Standard output: one JSON document, or tables for people.

use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};

use anyhow::Context;
use comfy_table::{Attribute, Cell, CellAlignment, Color, Row, Table, presets};
use serde::Serialize;

use crate::terminal::is_colored;

/// Standard output, written at the end of each call.
pub(crate) struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    pub(crate) fn new() -> Self {
        Self(BufWriter::new(io::stdout().lock()))
    }

    pub(crate) fn json(&mut self, document: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(document).context("cannot make JSON of the answer")?;
        text.push(b'\n');
        self.bytes(&text)
    }

    pub(crate) fn lines(&mut self, text: &str) -> anyhow::Result<()> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    pub(crate) fn table(&mut self, table: &Table) -> anyhow::Result<()> {
        self.lines(&table.trim_fmt())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.0
            .write_all(bytes)
            .and_then(|()| self.0.flush())
            .context("cannot write to standard output")
    }
}

/// Whether the reader of our output is gone.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// What a column holds.
#[derive(Clone, Copy)]
pub(crate) enum Column<'n> {
    Text(&'n str),
    Number(&'n str),
}

/// An empty table. Attributes and colours show where there are colours.
pub(crate) fn table(columns: &[Column<'_>]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if is_colored() {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let names = columns.iter().map(|column| {
        let (Column::Text(name) | Column::Number(name)) = column;
        Cell::new(name).add_attribute(Attribute::Bold)
    });
    table.set_header(Row::from(names.collect::<Vec<_>>()));
    for (index, column) in columns.iter().enumerate() {
        if let (Column::Number(_), Some(at)) = (column, table.column_mut(index)) {
            at.set_cell_alignment(CellAlignment::Right);
        }
    }
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table
}

/// How a cell looks where there are colours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Strong,
    Good,
    Worrying,
    Bad,
}

/// A cell that shows by its colour what to think of it.
pub(crate) fn tinted(text: impl ToString, tone: Tone) -> Cell {
    let cell = Cell::new(text);
    match tone {
        Tone::Strong => cell.add_attribute(Attribute::Bold),
        Tone::Good => cell.fg(Color::Green),
        Tone::Worrying => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The text of what may be absent.
pub(crate) fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (273_027, "273,027"),
            (1_000_000, "1,000,000"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let mut table = table(&[Column::Text("symbol"), Column::Number("lot")]);
        table.force_no_tty();
        table.add_row(["NIFTY", "65"]).add_row(["SENSEX50", "1000"]);
        assert_eq!(
            table.trim_fmt(),
            "symbol     lot\nNIFTY       65\nSENSEX50  1000"
        );
    }
}
