//! How it looks.

use comfy_table::{Attribute, Cell, CellAlignment, Row};
use serde_json::Value;

use super::board::{Board, Chain, Move, Quote, Rung};
use crate::output::{Column, Tone, grouped, table, tinted};

/// The fewest strikes that are worth showing.
const FEWEST_RUNGS: usize = 3;

/// Everything, for a terminal of so many rows; of a chain that is longer the strikes
/// around the money.
pub(super) fn page(board: &Board, server: &str, rows: usize) -> String {
    let state = match &board.lost {
        Some(lost) => lost.as_str(),
        None if board.was_served() => "live",
        None => "connecting",
    };
    let mut text = format!("{server}: {state}\n");
    if !board.asked.is_empty() {
        text += &format!("\n{}\n", quotes(board));
    }
    if let Some(chain) = &board.chain {
        // Lines above, a blank one, the heading, the names of the columns; a blank one and
        // the notes below; the row of the cursor.
        let others = text.lines().count() + board.notes.len() + 5;
        let room = rows.saturating_sub(others).max(FEWEST_RUNGS);
        let all = board.rungs();
        let shown = around_the_money(&all, atm(chain), room);
        text += &format!("\n{}", heading(chain));
        if shown.len() < all.len() {
            text += &format!(", {} of {} strikes", shown.len(), all.len());
        }
        text += &format!("\n{}\n", rungs(shown, chain));
    }
    for note in &board.notes {
        text += &format!("\n{note}");
    }
    text
}

fn quotes(board: &Board) -> String {
    let mut rows = table(&[
        Column::Text("token"),
        Column::Number("last"),
        Column::Text(""),
        Column::Number("change"),
        Column::Number("%"),
        Column::Number("bid"),
        Column::Number("ask"),
        Column::Number("volume"),
        Column::Number("OI"),
        Column::Text("traded"),
    ]);
    for asked in &board.asked {
        let token = asked.token.as_deref();
        let Some(quote) = token.and_then(|token| board.quotes.get(token)) else {
            let name = token.unwrap_or(&asked.reference);
            rows.add_row([name, "", "", "", "", "", "", "", "", "no value yet"]);
            continue;
        };
        let change = quote.change();
        let percent = change
            .zip(quote.number("prev_close"))
            .filter(|(_, close)| *close > 0.0)
            .map(|(change, close)| change / close * 100.0);
        rows.add_row(Row::from(vec![
            Cell::new(token.unwrap_or_default()),
            last(quote),
            arrow(quote),
            signed(change),
            signed(percent),
            price(quote, "bid"),
            price(quote, "ask"),
            count(quote, "volume"),
            count(quote, "oi"),
            Cell::new(quote.text("ltt").map(clock).unwrap_or_default()),
        ]));
    }
    rows.trim_fmt()
}

fn heading(chain: &Chain) -> String {
    let shown = |name: &str| match chain.fields.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.as_f64().map(rupees).unwrap_or_default(),
        _ => String::new(),
    };
    let mut text = format!(
        "{} {} on {}",
        shown("symbol"),
        shown("expiry"),
        shown("exchange")
    );
    let live = shown("live_ltp");
    text += &if live.is_empty() {
        format!(
            " at {} ({})",
            shown("underlying_ltp"),
            shown("price_source")
        )
    } else {
        format!(" at {live}")
    };
    text + &format!(
        ", ATM {}, lot {}",
        strike(&shown("atm_strike")),
        strike(&shown("lot_size"))
    )
}

/// `25850.00` as `25850`.
fn strike(text: &str) -> &str {
    text.strip_suffix(".00").unwrap_or(text)
}

/// The strike at the money, where that is known.
fn atm(chain: &Chain) -> Option<f64> {
    let live = chain.fields.get("live_atm_strike").and_then(Value::as_f64);
    live.or_else(|| chain.fields.get("atm_strike")?.as_f64())
}

/// At most `room` of the strikes, with the one at the money in the middle.
fn around_the_money<'a, 'b>(all: &'a [Rung<'b>], atm: Option<f64>, room: usize) -> &'a [Rung<'b>] {
    let middle = atm.map_or(all.len() / 2, |atm| {
        all.partition_point(|rung| rung.at < atm)
    });
    let last_start = all.len().saturating_sub(room);
    let start = middle.saturating_sub(room / 2).min(last_start);
    &all[start..(start + room).min(all.len())]
}

fn rungs(shown: &[Rung<'_>], chain: &Chain) -> String {
    let mut rows = table(&[
        Column::Number("OI"),
        Column::Number("volume"),
        Column::Number("bid"),
        Column::Number("ask"),
        Column::Number("CE"),
        Column::Text(""),
        Column::Number("strike"),
        Column::Number("PE"),
        Column::Text(""),
        Column::Number("bid"),
        Column::Number("ask"),
        Column::Number("volume"),
        Column::Number("OI"),
    ]);
    let atm = atm(chain);
    let none = Quote::default();
    for rung in shown {
        let of = |leg: Option<&str>| leg.and_then(|leg| chain.quotes.get(leg)).unwrap_or(&none);
        let (call, put) = (of(rung.call), of(rung.put));
        let mut strike = Cell::new(rung.strike);
        if atm == Some(rung.at) {
            strike = Cell::new(format!("> {}", rung.strike)).add_attribute(Attribute::Bold);
        }
        rows.add_row(Row::from(vec![
            count(call, "oi"),
            count(call, "volume"),
            price(call, "bid"),
            price(call, "ask"),
            last(call),
            arrow(call),
            strike,
            last(put),
            arrow(put),
            price(put, "bid"),
            price(put, "ask"),
            count(put, "volume"),
            count(put, "oi"),
        ]));
    }
    rows.trim_fmt()
}

/// A line for each of some quotes.
pub(super) fn lines(board: &Board, tokens: &[String]) -> String {
    let lines = tokens.iter().filter_map(|token| {
        let of_chain = || board.chain.as_ref()?.quotes.get(token);
        let quote = board.quotes.get(token).or_else(of_chain)?;
        Some(line(token, quote))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `10:00:00.623 NIFTY ltp=25867.30 volume=1200`.
fn line(token: &str, quote: &Quote) -> String {
    let received = quote.text("recv").unwrap_or_default();
    let time = received.get(11..23).unwrap_or("");
    let mut text = format!("{time} {token}").trim_start().to_owned();
    for name in ["ltp", "bid", "ask"] {
        if let Some(rupee) = quote.number(name) {
            text += &format!(" {name}={}", rupees(rupee));
        }
    }
    for name in ["volume", "oi"] {
        if let Some(count) = quote.number(name) {
            text += &format!(" {name}={count}");
        }
    }
    text
}

fn last(quote: &Quote) -> Cell {
    let text = quote.number("ltp").map(rupees).unwrap_or_default();
    match quote.moved {
        Move::None => Cell::new(text),
        Move::Up => tinted(text, Tone::Good),
        Move::Down => tinted(text, Tone::Bad),
    }
}

fn arrow(quote: &Quote) -> Cell {
    match quote.moved {
        Move::None => Cell::new(" "),
        Move::Up => tinted("▲", Tone::Good),
        Move::Down => tinted("▼", Tone::Bad),
    }
}

fn price(quote: &Quote, name: &str) -> Cell {
    Cell::new(quote.number(name).map(rupees).unwrap_or_default())
}

fn count(quote: &Quote, name: &str) -> Cell {
    let number = quote.fields.get(name).and_then(Value::as_u64);
    Cell::new(number.map(grouped).unwrap_or_default())
}

/// A difference with its sign, to the right.
fn signed(number: Option<f64>) -> Cell {
    let cell = match number {
        None => Cell::new(""),
        Some(number) => {
            let text = format!("{number:+.2}");
            // What rounds to nothing has no direction.
            match text.trim_matches(['+', '-', '0', '.']).is_empty() {
                true => Cell::new("0.00"),
                false if number > 0.0 => tinted(text, Tone::Good),
                false => tinted(text, Tone::Bad),
            }
        }
    };
    cell.set_alignment(CellAlignment::Right)
}

/// Two decimals, or four where two would not be exact: currencies have them.
fn rupees(price: f64) -> String {
    let paise = price * 100.0;
    if (paise - paise.round()).abs() < 1e-6 {
        format!("{price:.2}")
    } else {
        format!("{price:.4}")
    }
}

/// The time of day.
fn clock(time: &str) -> &str {
    time.get(11..19).unwrap_or(time)
}
