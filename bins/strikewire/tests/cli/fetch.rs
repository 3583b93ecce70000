//! `instruments fetch` against a server that breaks off, errs, or knows no ranges.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::fake::{Held, answer, serve_bytes};
use crate::program::{AS_OF, Ran, master, program};

const ALL: usize = usize::MAX;
const TAG: &str = "etag: \"v1\"";
const DAY: &str = "last-modified: Mon, 09 Feb 2026 02:30:00 GMT";

/// A folder to fetch into.
struct Place {
    folder: TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        Self::named("master.csv")
    }

    fn named(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        Self { folder, file }
    }

    fn fetch(&self, url: &str, more: &[&str]) -> Ran {
        let mut command = program();
        command
            .args(["instruments", "fetch", "--as-of", AS_OF, "--url", url, "-o"])
            .arg(&self.file)
            .args(more);
        Ran::of(command)
    }

    /// It must succeed; what it says.
    fn fetched(&self, url: &str, more: &[&str]) -> Value {
        let ran = self.fetch(url, &[more, &["--json"]].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        serde_json::from_str(&ran.stdout).unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }
}

fn whole() -> &'static [u8] {
    master().text.as_bytes()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(text).unwrap();
    gz.finish().unwrap()
}

#[test]
fn a_file_is_fetched_once() {
    let (url, served) = serve_bytes(vec![
        answer("200 OK", &[TAG, DAY], whole(), ALL),
        answer("304 Not Modified", &[TAG], b"", ALL),
        answer("200 OK", &[TAG, DAY], whole(), ALL),
    ]);
    let place = Place::new();
    let first = place.fetched(&url, &[]);
    assert_eq!(first["status"], "fetched");
    assert_eq!(first["layout"], "compact");
    assert_eq!(first["rows"], master().rows().len());
    assert_eq!(first["etag"], "\"v1\"");
    assert!(first["loaded"].as_u64().unwrap() > 0);
    assert_eq!(place.text(), master().text);
    let second = place.fetched(&url, &[]);
    assert_eq!(second["status"], "unchanged");
    assert_eq!(second["rows"], first["rows"]);
    assert_eq!(place.names(), ["master.csv", "master.csv.fetched"]);
    // With a file that is not the one that was fetched there is nothing to compare.
    fs::write(&place.file, "mine").unwrap();
    assert_eq!(place.fetched(&url, &[])["status"], "fetched");

    let asked = served.join().unwrap();
    assert_eq!(asked[0].line, "GET /api-scrip-master.csv HTTP/1.1");
    assert_eq!(asked[0].header("if-none-match"), None);
    assert_eq!(asked[1].header("if-none-match"), Some("\"v1\""));
    let day = DAY.to_lowercase();
    assert_eq!(
        asked[1].header("if-modified-since"),
        day.strip_prefix("last-modified: ")
    );
    assert_eq!(asked[2].header("if-none-match"), None);
}

#[test]
fn what_broke_off_goes_on_where_it_stopped() {
    let half = whole().len() / 2;
    let rest = format!(
        "content-range: bytes {half}-{}/{}",
        whole().len() - 1,
        whole().len()
    );
    let (url, served) = serve_bytes(vec![
        answer("200 OK", &[TAG, DAY], whole(), half),
        answer("206 Partial Content", &[TAG, &rest], &whole()[half..], ALL),
    ]);
    let place = Place::new();
    let ran = place.fetch(&url, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("again in 250ms"), "{ran:?}");
    assert_eq!(place.text(), master().text);
    let asked = served.join().unwrap();
    assert_eq!(
        asked[1].header("range"),
        Some(format!("bytes={half}-").as_str())
    );
    assert_eq!(asked[1].header("if-range"), Some("\"v1\""));
}

#[test]
fn a_later_run_goes_on_too() {
    let half = whole().len() / 3;
    let rest = format!("content-range: bytes {half}-{}/*", whole().len() - 1);
    let (url, served) = serve_bytes(vec![
        answer("200 OK", &[DAY], whole(), half),
        answer("206 Partial Content", &[DAY, &rest], &whole()[half..], ALL),
    ]);
    let place = Place::new();
    let ran = place.fetch(&url, &["--retries", "0"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("error: "), "{ran:?}");
    assert_eq!(place.names(), ["master.csv.part", "master.csv.part.json"]);
    let said = place.fetched(&url, &[]);
    assert_eq!(said["resumed_from"], half);
    assert_eq!(place.text(), master().text);
    assert_eq!(place.names(), ["master.csv", "master.csv.fetched"]);
    served.join().unwrap();
}

#[test]
fn where_it_cannot_go_on_it_starts_anew() {
    let half = whole().len() / 2;
    let broken = || answer("200 OK", &[TAG], whole(), half);
    let good = || answer("200 OK", &["etag: \"v2\""], whole(), ALL);
    let elsewhere = format!(
        "content-range: bytes {}-{}/{}",
        half + 1,
        whole().len() - 1,
        whole().len()
    );
    let other = format!(
        "content-range: bytes {half}-{}/{}",
        whole().len() - 1,
        whole().len()
    );
    for answers in [
        // No ranges, or another version by now.
        vec![broken(), good()],
        // Another place than asked for.
        vec![
            broken(),
            answer(
                "206 Partial Content",
                &[TAG, &elsewhere],
                &whole()[half + 1..],
                ALL,
            ),
            good(),
        ],
        // Another version, in spite of the question.
        vec![
            broken(),
            answer(
                "206 Partial Content",
                &["etag: \"v2\"", &other],
                &whole()[half..],
                ALL,
            ),
            good(),
        ],
        // A shorter file.
        vec![
            broken(),
            answer(
                "416 Range Not Satisfiable",
                &["content-range: bytes */10"],
                b"",
                ALL,
            ),
            good(),
        ],
        // One that cannot be told from others.
        vec![answer("200 OK", &["etag: W/\"v1\""], whole(), half), good()],
    ] {
        let (url, served) = serve_bytes(answers);
        let place = Place::new();
        let said = place.fetched(&url, &[]);
        assert_eq!(
            (&said["status"], &said["resumed_from"]),
            (&"fetched".into(), &0.into())
        );
        assert!(place.text() == master().text);
        let asked = served.join().unwrap();
        assert_eq!(asked.last().unwrap().header("if-none-match"), None);
    }
}

#[test]
fn a_part_that_is_whole_already_is_not_fetched_again() {
    let place = Place::new();
    let range = format!("content-range: bytes */{}", whole().len());
    let (url, served) = serve_bytes(vec![
        answer("200 OK", &[TAG], &[whole(), b"x"].concat(), whole().len()),
        answer("416 Range Not Satisfiable", &[&range], b"", ALL),
    ]);
    assert_eq!(place.fetch(&url, &["--retries", "0"]).code, Some(1));
    let said = place.fetched(&url, &[]);
    assert_eq!(said["resumed_from"], whole().len());
    assert_eq!(place.text(), master().text);
    served.join().unwrap();
}

#[test]
fn what_is_no_master_leaves_the_old_one() {
    let packed = gzip(whole());
    let page = b"<!DOCTYPE html><html>, maintenance</html>";
    let html = ["content-type: text/html"];
    for (bytes, named) in [
        (answer("200 OK", &html, page, ALL), "it is a page"),
        (answer("200 OK", &[], b"", ALL), "it is empty"),
        (
            answer("200 OK", &[], &packed[..packed.len() / 2], ALL),
            "cut-off gzip",
        ),
        (
            answer("200 OK", &[], &whole()[..whole().len() - 30], ALL),
            "breaks off",
        ),
        (answer("200 OK", &["content-encoding: br"], b"x", ALL), "br"),
        (answer("404 Not Found", &html, page, ALL), "404"),
        (answer("403 Forbidden", &html, page, ALL), "403"),
        (
            answer("503 Service Unavailable", &["retry-after: 3600"], b"", ALL),
            "3600 s",
        ),
    ] {
        let (url, served) = serve_bytes(vec![bytes]);
        let place = Place::new();
        fs::write(&place.file, "as it was").unwrap();
        let ran = place.fetch(&url, &["--json"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{named}");
        assert!(
            ran.stderr.starts_with("error: ") && ran.stderr.contains(named),
            "{named}: {ran:?}"
        );
        assert!(ran.stderr.contains(&url), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert_eq!(place.text(), "as it was");
        served.join().unwrap();
        // What is there of a bad file is of no use; a good one may go on.
        let names = place.names();
        assert!(
            !names.contains(&"master.csv.part.json".to_owned()),
            "{names:?}"
        );
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let (url, served) = serve_bytes(vec![
        answer("503 Service Unavailable", &["retry-after: 0"], b"", ALL),
        answer("429 Too Many Requests", &[], b"", ALL),
        answer("200 OK", &[TAG], whole(), ALL),
    ]);
    let place = Place::new();
    place.fetched(&url, &[]);
    assert_eq!(place.text(), master().text);
    served.join().unwrap();
    let nobody = Held::new();
    let ran = place.fetch(&nobody.url, &["--retries", "1"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("given up after 2 attempts"), "{ran:?}");
    assert_eq!(place.text(), master().text);
}

#[test]
fn half_of_what_was_there_is_taken_by_force_only() {
    let lines: Vec<&str> = master().text.lines().collect();
    let few = lines[..lines.len() / 3].join("\n");
    let (url, served) = serve_bytes(vec![
        answer("200 OK", &[TAG], few.as_bytes(), ALL),
        answer("200 OK", &[TAG], few.as_bytes(), ALL),
    ]);
    let place = Place::new();
    fs::write(&place.file, &master().text).unwrap();
    let ran = place.fetch(&url, &[]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("half a file") && ran.stderr.contains("--force"),
        "{ran:?}"
    );
    assert_eq!(place.text(), master().text);
    assert_eq!(
        place.fetched(&url, &["--force"])["rows"],
        lines.len() / 3 - 1
    );
    assert_eq!(place.text(), few);
    served.join().unwrap();
}

#[test]
fn the_name_says_whether_it_is_compressed() {
    let packed = gzip(whole());
    for (name, sent) in [
        ("a.csv.gz", whole()),
        ("a.csv", packed.as_slice()),
        ("a.csv.gz", packed.as_slice()),
    ] {
        let (url, served) = serve_bytes(vec![answer("200 OK", &[TAG], sent, ALL)]);
        let place = Place::named(name);
        place.fetched(&format!("{url}/mine.csv"), &[]);
        let bytes = fs::read(&place.file).unwrap();
        if name.ends_with(".gz") {
            let text = std::io::read_to_string(GzDecoder::new(bytes.as_slice())).unwrap();
            assert!(text == master().text);
        } else {
            assert!(bytes == whole());
        }
        assert_eq!(place.names(), [name.to_owned(), format!("{name}.fetched")]);
        assert_eq!(served.join().unwrap()[0].line, "GET /mine.csv HTTP/1.1");
    }
}

#[test]
fn the_detailed_layout_is_told_from_the_compact_one() {
    let detailed = "EXCH_ID,SEGMENT,SECURITY_ID,ISIN,INSTRUMENT,UNDERLYING_SECURITY_ID,UNDERLYING_SYMBOL,SYMBOL_NAME,DISPLAY_NAME,INSTRUMENT_TYPE,SERIES,LOT_SIZE,SM_EXPIRY_DATE,STRIKE_PRICE,OPTION_TYPE,TICK_SIZE,EXPIRY_FLAG,SM_FREEZE_QTY,\n\
        NSE,D,35084,NA,OPTIDX,26000,NIFTY,NIFTY-Sep2026-29150-CE,NIFTY 29 SEP 29150 CALL,OP,NA,65.0,2026-09-29,29150.00000,CE,5.0000,M,1756,\n";
    let (url, served) = serve_bytes(vec![
        answer("200 OK", &[], detailed.as_bytes(), ALL),
        answer("200 OK", &[], whole(), ALL),
        answer("200 OK", &[], detailed.as_bytes(), ALL),
    ]);
    let place = Place::new();
    let said = place.fetched(&url, &["--detailed"]);
    assert_eq!((&said["rows"], &said["loaded"]), (&1.into(), &Value::Null));
    for (flag, named) in [
        ("--detailed", "compact layout"),
        ("--compact", "detailed layout"),
    ] {
        let ran = place.fetch(&url, &[flag]);
        assert!(ran.code == Some(1) && ran.stderr.contains(named), "{ran:?}");
        assert_eq!(place.text(), detailed);
    }
    let asked = served.join().unwrap();
    assert_eq!(asked[0].line, "GET /api-scrip-master-detailed.csv HTTP/1.1");
    assert_eq!(
        place.fetch(&url, &["--detailed", "--compact"]).code,
        Some(2)
    );
}

#[test]
fn the_stand_in_has_a_master_too() {
    let (_running, address) = crate::sim::start(&[]);
    let place = Place::new();
    let said = place.fetched(&format!("http://{address}"), &[]);
    assert_eq!(said["status"], "fetched");
    assert!(said["loaded"].as_u64().unwrap() > 1_000, "{said}");
}

#[test]
fn places_where_nothing_can_be_put_are_named_before_anything_is_fetched() {
    let place = Place::named("no/such/folder.csv");
    let ran = place.fetch("http://127.0.0.1:1", &[]);
    assert!(
        ran.code == Some(1) && ran.stderr.contains("is not a folder"),
        "{ran:?}"
    );
    let place = Place::named("");
    let ran = place.fetch("http://127.0.0.1:1", &[]);
    assert!(
        ran.code == Some(1) && ran.stderr.contains("folder"),
        "{ran:?}"
    );
}
