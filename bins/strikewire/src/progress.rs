//! A bar for work that takes long, on a terminal only.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is done sooner needs no bar.
const SOON: Duration = Duration::from_millis(400);

/// How often a bar is drawn a second at most.
const DRAWN: u8 = 10;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Bytes,
    Rows,
}

/// A bar on standard error that appears when the work turns out to be long, and goes when
/// it is done. Standard output is left alone.
#[derive(Debug)]
pub(crate) struct Progress {
    what: String,
    unit: Unit,
    done: u64,
    total: Option<u64>,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(what: impl Into<String>, unit: Unit, total: Option<u64>) -> Self {
        Self {
            what: what.into(),
            unit,
            done: 0,
            total,
            started: Instant::now(),
            bar: None,
        }
    }

    /// Starts again from `done`, of `total` where that is known.
    pub(crate) fn restart(&mut self, done: u64, total: Option<u64>) {
        (self.done, self.total) = (done, total);
        if let Some(bar) = &self.bar {
            match total {
                Some(total) => bar.set_length(total),
                None => bar.unset_length(),
            }
            bar.set_style(style(self.unit, total.is_some()));
            bar.reset_eta();
            bar.set_position(done);
        }
    }

    pub(crate) fn add(&mut self, more: u64) {
        self.done += more;
        match &self.bar {
            Some(bar) => bar.set_position(self.done),
            None if self.started.elapsed() >= SOON => self.show(),
            None => {}
        }
    }

    /// Says something above the bar; on standard error also where no bar is shown.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.println(text),
            // Nobody is left to tell when this fails.
            _ => drop(writeln!(io::stderr(), "{text}")),
        }
    }

    fn show(&mut self) {
        // Nothing is drawn where standard error is no terminal.
        let target = ProgressDrawTarget::stderr_with_hz(DRAWN);
        let bar = ProgressBar::with_draw_target(self.total, target);
        bar.set_style(style(self.unit, self.total.is_some()));
        bar.set_message(self.what.clone());
        bar.set_position(self.done);
        self.bar = Some(bar);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(unit: Unit, is_bounded: bool) -> ProgressStyle {
    let template = match (unit, is_bounded) {
        (Unit::Bytes, true) => {
            "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left"
        }
        (Unit::Bytes, false) => "{msg} {spinner} {bytes}, {bytes_per_sec}",
        (Unit::Rows, true) => "{msg} [{bar:30}] {human_pos} of {human_len} rows, {eta} left",
        (Unit::Rows, false) => "{msg} {spinner} {human_pos} rows",
    };
    let style = ProgressStyle::with_template(template);
    style.map_or_else(
        |_| ProgressStyle::default_bar(),
        |style| style.progress_chars("=> "),
    )
}

/// Counts what is read.
#[derive(Debug)]
pub(crate) struct Reading<R> {
    inner: R,
    progress: Progress,
}

impl<R> Reading<R> {
    pub(crate) const fn new(inner: R, progress: Progress) -> Self {
        Self { inner, progress }
    }
}

impl<R: Read> Read for Reading<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.add(read as u64);
        Ok(read)
    }
}

/// Counts the lines that are written.
#[derive(Debug)]
pub(crate) struct Writing<W> {
    inner: W,
    progress: Progress,
}

impl<W> Writing<W> {
    pub(crate) const fn new(inner: W, progress: Progress) -> Self {
        Self { inner, progress }
    }
}

impl<W: Write> Write for Writing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        let lines = buffer[..written].iter().filter(|byte| **byte == b'\n');
        self.progress.add(lines.count() as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_is_one() {
        for unit in [Unit::Bytes, Unit::Rows] {
            for is_bounded in [true, false] {
                style(unit, is_bounded);
            }
        }
        // A template with a mistake would be replaced in silence.
        for template in ["{msg} [{bar:30}] {bytes}", "{human_pos} of {human_len}"] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn what_goes_through_is_not_changed_and_counted() {
        let progress = || Progress::new("test", Unit::Bytes, None);
        let mut reading = Reading::new(&b"a\nbc\n"[..], progress());
        let mut text = String::new();
        reading.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), reading.progress.done), ("a\nbc\n", 5));
        let mut writing = Writing::new(Vec::new(), progress());
        writing.write_all(b"a\nbc\n").unwrap();
        assert_eq!(writing.progress.done, 2);
        assert_eq!(writing.inner, b"a\nbc\n");
    }
}
