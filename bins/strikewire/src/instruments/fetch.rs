//! `strikewire instruments fetch`.

mod check;
mod download;
mod part;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use flate2::read::MultiGzDecoder;
use jiff::civil::Date;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use strikewire_dhan::rest::MASTER_URL;

use self::check::{Checked, Layout};
use self::download::{Came, Source};
use self::part::{Part, Version, sidecar};
use super::whole;
use crate::arguments::{Day, Format};
use crate::client::http_url;
use crate::output::{Output, grouped};
use crate::progress::{Progress, Unit};
use crate::signals::stopped;

#[derive(Debug, Args)]
pub(crate) struct FetchArguments {
    /// The compact layout, which everything here loads; the default
    #[arg(long)]
    compact: bool,
    /// The detailed layout, with more columns
    #[arg(long, conflicts_with = "compact")]
    detailed: bool,
    /// Where to put it; compressed when the name ends in .gz
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Where it lies: the address of the folder of both files, or of a file, .csv or .csv.gz
    #[arg(long, value_name = "URL", env = "STRIKEWIRE_MASTER_URL", hide_env_values = true,
          default_value = MASTER_URL)]
    // Not checked before it is used: a value that does not parse is repeated.
    url: String,
    /// Fetch it even if it is the same as last time, and take it even if it is much shorter
    #[arg(long)]
    force: bool,
    /// How often to try again without getting any further
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=100))]
    retries: u32,
    /// Certificates (PEM) of authorities to trust beside the public ones
    #[arg(long, value_name = "FILE", env = "STRIKEWIRE_CA")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    day: Day,
    #[command(flatten)]
    format: Format,
}

fn master_url(text: &str) -> anyhow::Result<Url> {
    // What is not one may hold a password.
    http_url(text).context(
        "--url or STRIKEWIRE_MASTER_URL: expected an address such as https://host/folder, \
         without user, password or query",
    )
}

/// The address of the file itself.
fn file_url(given: &Url, layout: Layout) -> Url {
    let mut url = given.clone();
    let is_file = [".csv", ".csv.gz"]
        .iter()
        .any(|ending| given.path().ends_with(ending));
    if !is_file && let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(layout.file_name());
    }
    url
}

#[derive(Serialize)]
struct Fetched<'a> {
    file: &'a Path,
    layout: &'static str,
    url: &'a str,
    /// `fetched` or `unchanged`.
    status: &'static str,
    /// Bytes of the file as it is here.
    bytes: u64,
    #[serde(flatten)]
    checked: &'a Checked,
    etag: Option<&'a str>,
    last_modified: Option<&'a str>,
    /// Bytes that were here already from an earlier attempt.
    resumed_from: u64,
}

/// What `FILE.fetched` says: which version FILE is, and what FILE was then.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    version: Version,
    bytes: u64,
    /// When FILE was written, in nanoseconds since 1970.
    written: u128,
    checked: Checked,
}

pub(crate) fn run(arguments: &FetchArguments) -> anyhow::Result<()> {
    let given = master_url(&arguments.url)?;
    let target = arguments.output.as_path();
    whole::place(target)?;
    let is_special = fs::metadata(target).is_ok_and(|there| !there.is_file());
    ensure!(
        !is_special,
        "cannot write {}: it is no file",
        target.display()
    );
    let layout = if arguments.detailed {
        Layout::Detailed
    } else {
        Layout::Compact
    };
    let url = file_url(&given, layout);
    let source = Source::new(url, arguments.retries, arguments.ca.as_deref())?;
    let known = (!arguments.force)
        .then(|| known(target))
        .flatten()
        .filter(|known| known.version.url == source.url());

    let mut part = Part::open(target)?;
    let mut progress = Progress::new(source.file_name(), Unit::Bytes, None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let came = runtime.block_on(async {
        let stop = stopped().context("cannot listen for signals")?;
        let version = known.as_ref().map(|known| &known.version);
        tokio::select! {
            came = source.fetch(&mut part, version, &mut progress) => came.map(Some),
            () = stop => Ok(None),
        }
    });
    drop(progress);
    let came = match came {
        Ok(came) => came,
        Err(error) => {
            if part.len() == 0 {
                // There is nothing to go on with.
                part.discard();
            }
            return Err(error);
        }
    };
    let Some(came) = came else {
        bail!(
            "interrupted; {} bytes are here, from which the same command goes on",
            grouped(part.len())
        );
    };
    let (version, resumed_from) = match (came, known) {
        (Came::Unchanged, Some(known)) => {
            part.discard();
            return report(
                arguments,
                layout,
                &known.version,
                "unchanged",
                known.bytes,
                &known.checked,
                0,
            );
        }
        (Came::Unchanged, None) => bail!("the server says that nothing has changed, unasked"),
        (Came::Whole { resumed_from }, _) => (part.version().clone(), resumed_from),
    };
    let checked = match examine(arguments, &part, layout) {
        Ok(checked) => checked,
        Err(error) => {
            // It would only be resumed next time.
            part.discard();
            return Err(error);
        }
    };
    install(part, &checked, target)?;
    let about = fs::metadata(target).with_context(|| cannot_write(target))?;
    let bytes = about.len();
    if let Some(written) = written(&about) {
        let known = Known {
            version: version.clone(),
            bytes,
            written,
            checked: checked.clone(),
        };
        remember(target, &known)?;
    }
    report(
        arguments,
        layout,
        &version,
        "fetched",
        bytes,
        &checked,
        resumed_from,
    )
}

fn report(
    arguments: &FetchArguments,
    layout: Layout,
    version: &Version,
    status: &'static str,
    bytes: u64,
    checked: &Checked,
    resumed_from: u64,
) -> anyhow::Result<()> {
    let file = arguments.output.as_path();
    let mut out = Output::new();
    if arguments.format.json {
        return out.json(&Fetched {
            file,
            layout: layout.as_str(),
            url: &version.url,
            status,
            bytes,
            checked,
            etag: version.etag.as_deref(),
            last_modified: version.last_modified.as_deref(),
            resumed_from,
        });
    }
    let mut text = format!(
        "{}: {layout}, {} rows, {} bytes",
        file.display(),
        grouped(checked.rows),
        grouped(bytes),
        layout = layout.as_str()
    );
    if let Some(loaded) = checked.loaded {
        text += &format!(", {} instruments to be subscribed", grouped(loaded));
    }
    if checked.rejected > 0 {
        text += &format!(", {} rows that make no sense", grouped(checked.rejected));
    }
    if let Some(modified) = &version.last_modified {
        text += &format!(", of {modified}");
    }
    if status == "unchanged" {
        text += "; unchanged";
    }
    if resumed_from > 0 {
        text += &format!("; resumed at {} bytes", grouped(resumed_from));
    }
    out.lines(&text)
}

/// Whether what came is a whole master, and not much less than what is there.
fn examine(arguments: &FetchArguments, part: &Part, layout: Layout) -> anyhow::Result<Checked> {
    let as_of: Date = arguments.day.get();
    let checked = check::check(part.path(), layout, as_of)
        .with_context(|| format!("{} does not give a whole master", part.version().url))?;
    let target = arguments.output.as_path();
    if arguments.force || !target.is_file() {
        return Ok(checked);
    }
    // One that is damaged is no measure.
    if let Ok(before) = check::check(target, layout, as_of) {
        ensure!(
            checked.rows.saturating_mul(2) >= before.rows,
            "{} gives {} rows where {} has {}: half a file, it seems; --force takes it",
            part.version().url,
            grouped(checked.rows),
            target.display(),
            grouped(before.rows)
        );
    }
    Ok(checked)
}

/// Puts it in its place, compressed or not as its name says.
fn install(part: Part, checked: &Checked, target: &Path) -> anyhow::Result<()> {
    if checked.is_gzip == whole::ends_in_gz(target) {
        return part.become_whole(target);
    }
    let open = || {
        let path = part.path();
        File::open(path).with_context(|| format!("cannot open {}", path.display()))
    };
    let mut text: Box<dyn Read> = if checked.is_gzip {
        Box::new(MultiGzDecoder::new(open()?))
    } else {
        Box::new(open()?)
    };
    whole::write(target, |out| {
        std::io::copy(&mut text, out).with_context(|| cannot_write(target))
    })?;
    part.discard();
    Ok(())
}

/// What is known of the file that is there, unless it has changed since.
fn known(target: &Path) -> Option<Known> {
    let text = fs::read(sidecar(target, ".fetched")).ok()?;
    let known: Known = serde_json::from_slice(&text).ok()?;
    let about = fs::metadata(target).ok()?;
    let is_it = about.len() == known.bytes && written(&about) == Some(known.written);
    is_it.then_some(known)
}

fn remember(target: &Path, known: &Known) -> anyhow::Result<()> {
    let text = serde_json::to_vec(known).context("cannot describe the file")?;
    whole::write(&sidecar(target, ".fetched"), |out| {
        out.write_all(&text).context("cannot write")
    })
}

fn written(about: &fs::Metadata) -> Option<u128> {
    let since = about
        .modified()
        .ok()?
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    Some(since.as_nanos())
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_folder_has_both_files() {
        for (given, layout, expected) in [
            (
                MASTER_URL,
                Layout::Compact,
                "https://images.dhan.co/api-data/api-scrip-master.csv",
            ),
            (
                "https://images.dhan.co/api-data/",
                Layout::Detailed,
                "https://images.dhan.co/api-data/api-scrip-master-detailed.csv",
            ),
            (
                "http://127.0.0.1:9010",
                Layout::Compact,
                "http://127.0.0.1:9010/api-scrip-master.csv",
            ),
            (
                "http://h/mine.csv.gz",
                Layout::Compact,
                "http://h/mine.csv.gz",
            ),
        ] {
            let url = file_url(&master_url(given).unwrap(), layout);
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn no_password_is_repeated() {
        for text in [
            "http://me:hunter2@h/",
            "http://h/mine.csv?key=hunter2",
            "http://h/#hunter2",
            "hunter2",
            "ftp://h/hunter2",
        ] {
            let error = format!("{:#}", master_url(text).unwrap_err());
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_file_that_was_changed_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.csv");
        fs::write(&target, "abc").unwrap();
        assert!(known(&target).is_none());
        let about = fs::metadata(&target).unwrap();
        let it = Known {
            version: Version::default(),
            bytes: 3,
            written: written(&about).unwrap(),
            checked: Checked::default(),
        };
        remember(&target, &it).unwrap();
        assert!(known(&target).is_some());
        fs::write(&target, "abcd").unwrap();
        assert!(known(&target).is_none());
    }

    proptest! {
        #[test]
        fn no_address_panics(text in ".*") {
            if let Ok(url) = master_url(&text) {
                file_url(&url, Layout::Detailed);
            }
        }

        #[test]
        fn no_sidecar_panics(text in ".*") {
            let _ = serde_json::from_str::<Known>(&text);
        }
    }
}
