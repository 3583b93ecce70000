//! What a terminal can do and a file cannot: colours, and pages that are drawn again
//! where they are.

use std::io::IsTerminal;
use std::sync::OnceLock;

use clap::ValueEnum;

use crate::output::Output;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Color {
    // Not documented to clap, which would put a list of them into every help.
    #[default]
    Auto,
    Always,
    Never,
}

static IS_COLORED: OnceLock<bool> = OnceLock::new();

/// Settles for the whole run whether there are colours on standard output.
pub(crate) fn choose(color: Color) {
    let is_wanted = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
            std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
        }
    };
    // Settled already: then it stays.
    let _ = IS_COLORED.set(is_wanted);
}

/// Whether standard output gets colours; none until that is settled.
pub(crate) fn is_colored() -> bool {
    IS_COLORED.get().copied().unwrap_or(false)
}

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const CLEAR_ALL: &str = "\x1b[2J\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
/// Ends colours that a cut-off line would leave on.
const PLAIN: &str = "\x1b[0m";

/// Where a terminal of unknown size ends.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// A text on a terminal that is drawn again in place. The cursor, hidden meanwhile, comes
/// back when this goes.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Lines of the last drawing.
    lines: usize,
    /// Columns and rows of the terminal then; none before the first.
    size: Option<(u16, u16)>,
}

impl Page {
    /// None where standard output is no terminal that could do this.
    pub(crate) fn new() -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        (std::io::stdout().is_terminal() && !is_dumb).then(Self::default)
    }

    /// How many rows the terminal has.
    pub(crate) fn rows() -> usize {
        usize::from(size().1)
    }

    pub(crate) fn draw(&mut self, out: &mut Output, text: &str) -> anyhow::Result<()> {
        let frame = self.frame(text, size());
        out.bytes(frame.as_bytes())
    }

    /// What to write to have `text` in the place of what was drawn last.
    fn frame(&mut self, text: &str, size: (u16, u16)) -> String {
        let (columns, rows) = (usize::from(size.0.max(1)), usize::from(size.1.max(2)));
        let mut frame = String::with_capacity(text.len() + 256);
        match self.size.replace(size) {
            None => frame += HIDE_CURSOR,
            // Lines of another width were broken elsewhere: where they are is not known.
            Some(before) if before != size => frame += CLEAR_ALL,
            Some(_) if self.lines > 0 => frame += &format!("\x1b[{}A\r", self.lines),
            Some(_) => {}
        }
        let all: Vec<&str> = text.lines().collect();
        // The last row is the cursor's.
        let fit = rows - 1;
        let shown = if all.len() > fit { fit - 1 } else { all.len() };
        let more = all.len() - shown;
        let mut lines: Vec<String> = all[..shown].iter().map(|line| cut(line, columns)).collect();
        if more > 0 {
            lines.push(cut(
                &format!("... {more} more lines, for a taller window"),
                columns,
            ));
        }
        self.lines = lines.len();
        for line in lines {
            frame += &line;
            frame += CLEAR_LINE;
            frame.push('\n');
        }
        frame + CLEAR_BELOW
    }
}

fn size() -> (u16, u16) {
    let size = crossterm::terminal::size().ok();
    let size = size.filter(|(columns, rows)| *columns > 0 && *rows > 0);
    size.unwrap_or(USUAL_SIZE)
}

impl Drop for Page {
    fn drop(&mut self) {
        if self.size.is_some() {
            // Without a terminal there is no cursor to be shown either.
            let _ = Output::new().bytes(SHOW_CURSOR.as_bytes());
        }
    }
}

/// At most `columns` characters of a line, colours not counted.
fn cut(line: &str, columns: usize) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut width = 0;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            kept.push(character);
            // `[`, numbers, and a letter that ends it.
            for of_code in characters.by_ref() {
                kept.push(of_code);
                if of_code != '[' && !of_code.is_ascii_digit() && of_code != ';' {
                    break;
                }
            }
        } else if character.is_control() {
            // It would move the cursor.
        } else if width == columns {
            kept += PLAIN;
            break;
        } else {
            kept.push(character);
            width += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a terminal shows after some frames: a naive one, for lines that fit.
    fn shown(frames: &[String]) -> Vec<String> {
        let (mut lines, mut at) = (vec![String::new()], 0);
        for frame in frames {
            let mut rest = frame.as_str();
            while !rest.is_empty() {
                if let Some(after) = rest.strip_prefix("\x1b[") {
                    let end = after.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                    let (number, letter) = (&after[..end], &after[end..=end]);
                    match letter {
                        "A" => at -= number.parse::<usize>().unwrap(),
                        "J" if number == "2" => lines = vec![String::new()],
                        "J" => lines.truncate(at + 1),
                        "H" => at = 0,
                        _ => {}
                    }
                    rest = &after[end + 1..];
                    continue;
                }
                let character = rest.chars().next().unwrap();
                match character {
                    '\r' => lines[at].clear(),
                    '\n' => {
                        at += 1;
                        if at == lines.len() {
                            lines.push(String::new());
                        }
                        lines[at].clear();
                    }
                    other => lines[at].push(other),
                }
                rest = &rest[character.len_utf8()..];
            }
        }
        lines.pop();
        lines
    }

    #[test]
    fn a_page_takes_the_place_of_the_one_before() {
        let mut page = Page::default();
        let texts = ["a\nb\nc", "d", "e\nf", ""];
        let mut frames = Vec::new();
        for text in texts {
            frames.push(page.frame(text, (20, 10)));
            assert_eq!(shown(&frames), text.lines().collect::<Vec<_>>());
        }
        assert!(frames[0].starts_with(HIDE_CURSOR));
        assert!(!frames[1].contains(HIDE_CURSOR));
        // In another window nothing of before can be relied on.
        assert!(page.frame("x", (30, 10)).starts_with(CLEAR_ALL));
        // Nothing is written to the terminal of whoever runs this test.
        page.size = None;
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let mut page = Page::default();
        let frame = page.frame("1\n2\n3\n4\n5", (40, 4));
        assert_eq!(
            shown(&[frame]),
            ["1", "2", "... 3 more lines, for a taller window"]
        );
        page.size = None;
        assert_eq!(cut("NIFTY 25000", 5), format!("NIFTY{PLAIN}"));
        assert_eq!(
            cut("\x1b[32mNIFTY\x1b[0m", 5),
            "\x1b[32mNIFTY\x1b[0m",
            "colours take no room"
        );
        assert_eq!(cut("a\tb\rc", 9), "abc");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s).{0,200}", columns: u16, rows: u16) {
            let mut page = Page::default();
            let _ = page.frame(&text, (columns, rows));
            let again = page.frame(&text, (columns, rows));
            prop_assert!(again.matches('\n').count() < usize::from(rows.max(2)));
            page.size = None;
        }
    }
}
