//! What cannot be done: named, with the choices there are.

use std::process::Stdio;

use crate::program::{AS_OF, master, program, run, table};

/// Exit code, and what standard error must say; standard output stays empty.
fn check(arguments: &[&str], code: i32, named: &[&str]) {
    let ran = run(arguments);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(code), ""),
        "{arguments:?}: {ran:?}"
    );
    for name in named {
        assert!(
            ran.stderr.contains(name),
            "{arguments:?}: no {name} in {}",
            ran.stderr
        );
    }
}

#[test]
fn what_cannot_be_done_is_named_with_the_choices() {
    let file = master().path();
    let instruments = |command: &str, more: &[&str], named: &[&str]| {
        let arguments = [
            &["instruments", command, file, "--as-of", AS_OF, "--json"],
            more,
        ];
        check(&arguments.concat(), 1, named);
    };
    instruments(
        "find",
        &["RELIANCEE"],
        &["error: ", "RELIANCEE", "RELIANCE"],
    );
    instruments("find", &["NSE_FNO:4294967295"], &["NSE_FNO:4294967295"]);
    instruments(
        "find",
        &["NIFTY_24FEB2026_1CE"],
        &["NIFTY_24FEB2026_1CE", "NIFTY_24FEB2026_2"],
    );
    instruments("expiries", &["NIFTYY"], &["NIFTYY", "NIFTY"]);
    instruments(
        "ladder",
        &["NIFTY", "2026-02-11"],
        &["11FEB2026", "10FEB2026", "24FEB2026"],
    );
    instruments(
        "ladder",
        &["NIFTY", "24FEB2026", "--exchange", "MCX"],
        &["NIFTY"],
    );
    let chain = |more: &[&str], named: &[&str]| {
        check(
            &[&["chain", file, "--as-of", AS_OF], more].concat(),
            1,
            named,
        );
    };
    chain(
        &["NIFTY", "11FEB2026", "--ltp", "26000"],
        &["11FEB2026", "10FEB2026"],
    );
    chain(
        &["NIFTYY", "10FEB2026", "--ltp", "26000"],
        &["NIFTYY", "NIFTY"],
    );
    // An old master has no contracts of today: what to do about it.
    let late = [
        "chain",
        file,
        "RELIANCE",
        "24FEB2026",
        "--ltp",
        "1440",
        "--as-of",
        "2036-01-01",
    ];
    check(
        &late,
        1,
        &["RELIANCE", "expired before 2036-01-01", "--as-of"],
    );
}

#[test]
fn masters_that_cannot_be_loaded_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let stats = |file: &str, named: &[&str]| {
        check(
            &["instruments", "stats", file, "--json"],
            1,
            &[&[file], named].concat(),
        );
    };
    stats(
        &format!("{}/none.csv", folder.path().display()),
        &["cannot open"],
    );
    stats(&file("empty.csv", ""), &["empty"]);
    stats(
        &file("other.csv", "a,b\n1,2\n"),
        &["not an instrument master", "a,b"],
    );
    stats(
        &file(
            "detailed.csv",
            "EXCH_ID,SEGMENT,SECURITY_ID,UNDERLYING_SYMBOL\nNSE,D,1,X\n",
        ),
        &["detailed"],
    );
}

#[test]
fn wrong_usage_is_told_from_what_cannot_be_done() {
    let file = master().path();
    let chain = |more: &[&str], named: &[&str]| {
        check(
            &[&["chain", file, "NIFTY", "24FEB2026"], more].concat(),
            2,
            named,
        );
    };
    chain(&[], &["--ltp"]);
    for price in ["0", "-5", "nan", "1e3"] {
        chain(&["--ltp", price], &[price, "above 0"]);
    }
    for width in ["0", "24", "1003"] {
        chain(&["--ltp", "26000", "--width", width], &[width, "odd"]);
    }
    chain(
        &["--ltp", "26000", "--exchange", "NYSE"],
        &["NYSE", "NSE, BSE or MCX"],
    );
    chain(
        &["--ltp", "26000", "--as-of", "soon"],
        &["soon", "2026-02-09"],
    );
    check(
        &["chain", file, "NIFTY", "24FEB", "--ltp", "1"],
        2,
        &["24FEB", "24FEB2026"],
    );
    check(&["instruments", "stats"], 2, &["FILE"]);
    check(
        &["instruments", "search", file, "x", "--kind", "OPT"],
        2,
        &["OPT", "OPTSTK"],
    );
    check(
        &["instruments", "search", file, "x", "--limit", "0"],
        2,
        &["1 to 1000"],
    );
    check(&["instrument"], 2, &["instruments"]);
    check(
        &["sim", "--instruments", file, "--clock", "10:00"],
        2,
        &["10:00", "+05:30@1"],
    );
    check(
        &["sim", "--instruments", file, "--listen", "nowhere"],
        2,
        &["nowhere"],
    );
}

#[test]
fn nobody_reading_is_no_failure() {
    let file = master().path();
    let arguments = [
        "instruments",
        "ladder",
        file,
        "NIFTY",
        "24FEB2026",
        "--as-of",
        AS_OF,
    ];
    for more in [None, Some("--json")] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = program()
            .args(arguments)
            .args(more)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let file = master().path();
    let output = program()
        .args(["instruments", "stats", file, "--as-of", AS_OF])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot write to standard output"), "{said}");
}

#[test]
fn completions_are_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = table(&["completions", shell]);
        assert!(
            script.contains("strikewire") && script.contains("instruments"),
            "{shell}"
        );
    }
}
