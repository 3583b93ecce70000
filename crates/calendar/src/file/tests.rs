use super::*;
use proptest::prelude::*;

fn error(text: &str) -> String {
    let rules = read(text);
    let error = rules
        .as_ref()
        .err()
        .unwrap_or_else(|| panic!("was read: {text}"));
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// A session with its phases replaced.
fn with_phases(phases: &str) -> String {
    format!("[[sessions]]\nclasses = [\"mcx\"]\nvalid_from = 2026-01-01\nphases = {phases}")
}

#[test]
fn an_empty_text_says_nothing() {
    assert_eq!(read(""), Ok(Rules::default()));
    assert_eq!(read("# only a remark\n"), Ok(Rules::default()));
}

#[test]
fn a_whole_entry_is_read() {
    let rules = read(
        "[[sessions]]\nclasses = ['mcx', 'mcx_agri']\nvalid_from = '2026-01-01'\nsource = 'x'\n\
         evening_from = '17:00'\n\
         phases = [{ phase = 'pre_open', from = '00:00', to = '09:00' },\n\
         { phase = 'continuous', from = '09:00', to = '12:00' },\n\
         { phase = 'continuous', from = '12:00', to = '23:55', to_us_dst = '23:30' }]",
    )
    .unwrap();
    let sessions = &rules.sessions[&(Class::McxAgri, date(2026, 1, 1))];
    let pre_open = Span {
        phase: Phase::PreOpen,
        from: 0,
        to: 540,
    };
    let continuous = |to| Span {
        phase: Phase::Continuous,
        from: 540,
        to,
    };
    assert_eq!(sessions.winter, [pre_open, continuous(1435)]);
    assert_eq!(sessions.summer, [pre_open, continuous(1410)]);
    assert_eq!(sessions.evening_from, Some(1020));
    assert_eq!(rules.sessions.len(), 2);
}

#[test]
fn a_mistake_names_its_place_and_what_would_be_accepted() {
    for (text, expected) in [
        ("[[sessions]", "line 1: "),
        ("a = 1\nb = \n", "line 2: "),
        (
            "[[session]]\n",
            "the file: unknown key `session`, expected one of sessions, holidays, special, \
             mcx_symbols",
        ),
        ("sessions = 1", "sessions: `1` is not a list of tables"),
        ("special = [1]", "special 1: `1` is not a table"),
        (
            "[[sessions]]\nclasses = ['mcx']\n",
            "sessions 1: `valid_from` is missing, expected a date such as 2026-02-09, from \
             2000-01-01 to 2199-12-31",
        ),
        ("[[special]]\ndate = 2026-02-30\n", "line 2: "),
        (
            "[[holidays]]\nclasses = ['mcx']\ndays = [{date = 2026-01-01}, {date = '2026-02-30'}]",
            "holidays 1, days 2, date: `2026-02-30` is not a date such as 2026-02-09, from \
             2000-01-01 to 2199-12-31",
        ),
        (
            "[[holidays]]\nclasses = ['mcx']\ndays = [{date = 2026-01-01T09:00:00}]",
            "holidays 1, days 1, date: `2026-01-01T09:00:00` is not a date such as 2026-02-09, \
             from 2000-01-01 to 2199-12-31",
        ),
        (
            "[[holidays]]\nclasses = ['mcx']\ndays = [{date = 1999-12-31}]",
            "holidays 1, days 1, date: `1999-12-31` is not a date such as 2026-02-09, from \
             2000-01-01 to 2199-12-31",
        ),
        (
            "[[holidays]]\nclasses = ['mcx']\n",
            "holidays 1: `days` is missing, expected a list of days such as { date = 2026-01-26, \
             name = \"Republic Day\" }",
        ),
        (
            "[[holidays]]\nclasses = ['mcx']\ndays = [{date = 2026-01-01, closed = 'noon'}]",
            "holidays 1, days 1, closed: `noon` is not \"day\", \"morning\", \"evening\" or \
             \"none\"",
        ),
        (
            "[[holidays]]\nclasses = ['mcx']\ndays = [{date = 2026-01-01, close = 'day'}]",
            "holidays 1, days 1: unknown key `close`, expected one of date, name, closed",
        ),
        (
            "[[holidays]]\nclasses = ['mcx']\nsource = 7\ndays = []",
            "holidays 1, source: `7` is not a text",
        ),
        (
            "[[holidays]]\nclasses = ['mcx', 'nymex']\ndays = []",
            "holidays 1, classes: `nymex` is not a class: nse_cash, nse_derivatives, \
             nse_currency, bse_cash, bse_derivatives, bse_currency, mcx, mcx_agri or \
             mcx_agri_evening",
        ),
        (
            "[[holidays]]\nclasses = []\ndays = []",
            "holidays 1, classes: an empty list is not a list of classes such as [\"nse_cash\", \
             \"bse_cash\"]",
        ),
        (
            "[[holidays]]\nclasses = 'mcx'\ndays = []",
            "holidays 1, classes: `mcx` is not a list of classes such as [\"nse_cash\", \
             \"bse_cash\"]",
        ),
        (
            "[mcx_symbols]\nmcx_agri = ['A', '']",
            "mcx_symbols, mcx_agri: `` is not a list of symbols such as [\"COTTON\", \"KAPAS\"]",
        ),
        (
            "[mcx_symbols]\nnse_cash = ['A']",
            "mcx_symbols: unknown key `nse_cash`, expected one of mcx, mcx_agri, \
             mcx_agri_evening",
        ),
        (
            "mcx_symbols = 3",
            "mcx_symbols: `3` is not a table [mcx_symbols]",
        ),
    ] {
        let message = error(text);
        if expected.ends_with(": ") {
            assert!(message.starts_with(expected), "{message}");
        } else {
            assert_eq!(message, expected);
        }
    }
}

#[test]
fn phases_are_in_order_and_inside_the_day() {
    for (phases, expected) in [
        (
            "[{ phase = 'continuous', from = '9:15', to = '15:30' }]",
            "sessions 1, phases 1, from: `9:15` is not a time \"HH:MM\" from \"00:00\" to \
             \"24:00\"",
        ),
        (
            "[{ phase = 'continuous', from = '09:15', to = '24:01' }]",
            "sessions 1, phases 1, to: `24:01` is not a time \"HH:MM\" from \"00:00\" to \
             \"24:00\"",
        ),
        (
            "[{ phase = 'continuous', from = '09:15', to = 15:30:00 }]",
            "sessions 1, phases 1, to: `15:30:00` is not a time \"HH:MM\" from \"00:00\" to \
             \"24:00\"",
        ),
        (
            "[{ phase = 'continuous', from = '17:00', to = '02:00' }]",
            "sessions 1, phases 1: continuous 17:00-02:00 does not end after it starts, expected \
             `to` later than `from`",
        ),
        (
            "[{ phase = 'continuous', from = '17:00', to = '23:00', to_us_dst = '17:00' }]",
            "sessions 1, phases 1: continuous 17:00-17:00 does not end after it starts, expected \
             `to` later than `from`",
        ),
        (
            "[{ phase = 'pre_open', from = '09:00', to = '09:16' }, \
              { phase = 'continuous', from = '09:15', to = '15:30' }]",
            "sessions 1, phases 2: continuous 09:15-15:30 starts before pre_open 09:00-09:16 \
             ends, expected phases in order that do not overlap",
        ),
        (
            "[{ phase = 'continuous', from = '09:00', to = '10:00', to_us_dst = '11:01' }, \
              { phase = 'auction', from = '11:00', to = '15:30' }]",
            "sessions 1, phases 2: auction 11:00-15:30 starts before continuous 09:00-11:01 \
             ends, expected phases in order that do not overlap",
        ),
        (
            "[{ phase = 'pre_open', from = '09:00', to = '09:16' }]",
            "sessions 1: `phases` has no continuous phase, expected at least one (a day without \
             trading is a holiday)",
        ),
        (
            "[]",
            "sessions 1: `phases` has no continuous phase, expected at least one (a day without \
             trading is a holiday)",
        ),
        (
            "[{ phase = 'continuous', from = '09:15', to = '15:30' }, \
              { phase = 'pre_open', from = '16:00', to = '16:15' }]",
            "sessions 1: pre_open 16:00-16:15 is the last phase, expected a pre-open to be \
             followed by another phase",
        ),
        (
            "[{ phase = 'closed', from = '09:00', to = '09:16' }]",
            "sessions 1, phases 1, phase: `closed` is not a phase: \"pre_open\", \"continuous\" \
             or \"auction\"",
        ),
        (
            "[{ phase = 'continuous', from = '09:00' }]",
            "sessions 1, phases 1: `to` is missing, expected a time \"HH:MM\" from \"00:00\" to \
             \"24:00\"",
        ),
    ] {
        assert_eq!(error(&with_phases(phases)), expected);
    }
}

#[test]
fn a_special_day_has_no_seasons() {
    assert_eq!(
        error(
            "[[special]]\nclasses = ['mcx']\ndate = 2026-11-08\n\
             phases = [{ phase = 'continuous', from = '09:00', to = '10:00', to_us_dst = '11:00' }]"
        ),
        "special 1, phases 1: unknown key `to_us_dst`, expected one of phase, from, to"
    );
}

#[test]
fn nothing_is_said_twice() {
    let session = with_phases("[{ phase = 'continuous', from = '09:00', to = '17:00' }]");
    let special = "[[special]]\nclasses = ['mcx']\ndate = 2026-11-08\n\
                   phases = [{ phase = 'continuous', from = '09:00', to = '10:00' }]\n";
    for (text, expected) in [
        (
            format!("{session}\n{session}"),
            "sessions 2: mcx from 2026-01-01 is already given in this file, expected it once",
        ),
        (
            format!("{special}{special}"),
            "special 2: the special day 2026-11-08 of mcx is already given in this file, \
             expected it once",
        ),
        (
            "[[holidays]]\nclasses = ['mcx']\ndays = [{date = 2026-01-01}]\n[[holidays]]\n\
             classes = ['bse_cash', 'mcx']\ndays = [{date = 2026-01-02}, {date = 2026-01-01}]"
                .to_owned(),
            "holidays 2, days 2: the holiday 2026-01-01 of mcx is already given in this file, \
             expected it once",
        ),
        (
            "[mcx_symbols]\nmcx = ['kapas']\nmcx_agri = ['KAPAS']".to_owned(),
            "mcx_symbols: `KAPAS` is already given in this file, expected it once",
        ),
    ] {
        assert_eq!(error(&text), expected);
    }
    // But a special day may stand on a holiday.
    let both = format!("{special}[[holidays]]\nclasses = ['mcx']\ndays = [{{date = 2026-11-08}}]");
    let rules = read(&both).unwrap();
    assert!(matches!(
        rules.days[&(Class::Mcx, date(2026, 11, 8))],
        DayRule::Special(_)
    ));
}

#[test]
fn a_long_mistake_is_cut() {
    let text = format!("{} = 1", "x".repeat(10_000));
    assert!(error(&text).len() < 300);
    let text = format!("[[special]]\ndate = '{}'", "2".repeat(10_000));
    assert!(error(&text).len() < 300);
}

/// Texts that look like a calendar: pieces of one, with mistakes.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[[sessions]]\n".to_owned()),
        Just("[[holidays]]\n".to_owned()),
        Just("[[special]]\n".to_owned()),
        Just("[mcx_symbols]\n".to_owned()),
        Just("classes = ['mcx', 'nse_cash']\n".to_owned()),
        Just("mcx = ['A']\n".to_owned()),
        Just("evening_from = '17:00'\n".to_owned()),
        Just("days = [{ date = 2026-03-03, closed = 'morning' }]\n".to_owned()),
        "(valid_from|date) = (2026-0[0-9]-[0-3][0-9]|'[0-9-]{0,11}')\n",
        "phases = \\[\\{ phase = '(continuous|auction)', from = '[0-2][0-9]:[0-5]0', to = \
         '[0-2][0-9]:[0-5]0' \\}\\]\n",
        "\\PC{0,12}\n",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        let _ = read(&text).and_then(|rules| rules.compile().map(drop));
    }

    #[test]
    fn no_text_that_looks_like_a_calendar_panics(text in pieces()) {
        if let Ok(rules) = read(&text) {
            let _ = rules.compile();
        }
        let _ = crate::Calendar::builtin().with_overrides(&text);
    }

    #[test]
    fn every_minute_is_read(given in 0_u16..=1440) {
        let text = format!("{:02}:{:02}", given / 60, given % 60);
        prop_assert_eq!(minute(&text), Some(given));
    }
}
