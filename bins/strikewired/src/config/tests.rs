use std::collections::BTreeSet;

use clap::CommandFactory;

use strikewire_gateway::leases::TimeSource;

use super::read::Known;
use super::*;

#[test]
fn the_sample_holds_the_defaults() {
    let sample: File = toml::from_str(SAMPLE).unwrap();
    assert_eq!(sample, File::default());
}

/// The keys that `section` takes, as serde says itself.
fn taken(section: &str) -> BTreeSet<String> {
    let text = match section {
        "" => "__ = 1".to_owned(),
        "tier_b" => "[[tier_b]]\n__ = 1".to_owned(),
        _ => format!("[{section}]\n__ = 1"),
    };
    let error = toml::from_str::<File>(&text).unwrap_err();
    let (_, expected) = error.message().split_once("expected ").unwrap();
    expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_key_is_in_the_sample() {
    let shown = |section: &str| -> BTreeSet<String> {
        let of = read::KNOWN.iter().filter(|known| known.section == section);
        of.map(|known| known.key.to_owned()).collect()
    };
    let top = taken("");
    assert!(top.len() > 10, "{top:?}");
    assert_eq!(shown(""), top);
    let defaults = settings_of(&File::default()).unwrap();
    let sections = defaults.iter().filter(|(_, value)| match value {
        toml::Value::Table(_) => true,
        toml::Value::Array(rows) => rows.iter().all(toml::Value::is_table),
        _ => false,
    });
    let mut seen = 0;
    for (section, _) in sections {
        assert_eq!(shown(section), taken(section), "{section}");
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn every_key_is_explained_and_every_number_has_its_range() {
    let mut section = "";
    let mut comment = String::new();
    let mut explained = BTreeSet::new();
    for line in SAMPLE.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            comment.clear();
            continue;
        }
        let key = line
            .trim_start_matches("# ")
            .split_once(" = ")
            .map(|(key, _)| Known { section, key });
        let Some(known) = key.filter(|known| read::KNOWN.contains(known)) else {
            comment += line.trim_start_matches('#');
            continue;
        };
        // The second rule of tier B says nothing new.
        if explained.insert(known.to_string()) {
            assert!(comment.len() > 5, "{known} has no comment");
            if let Some(range) = ranges::of(&known.to_string()) {
                assert!(
                    comment.contains(&range.to_string()),
                    "{known}: {range}: {comment}"
                );
            }
        }
        comment.clear();
    }
    let numbers = settings_of(&File::default()).unwrap();
    for (name, value) in &numbers {
        let keys: Vec<_> = match value {
            toml::Value::Table(table) => table
                .iter()
                .map(|(key, value)| (format!("{name}.{key}"), value))
                .collect(),
            value => vec![(name.clone(), value)],
        };
        for (key, value) in keys {
            if matches!(value, toml::Value::Integer(_) | toml::Value::Float(_)) && key != "sim.seed"
            {
                assert!(ranges::of(&key).is_some(), "{key} has no range");
            }
        }
    }
    for range in ranges::RANGES {
        assert!(explained.contains(range.key), "{} is no key", range.key);
    }
}

#[test]
fn both_ends_of_every_range_are_taken_and_nothing_beyond() {
    let with = |key: &str, number: f64| {
        let mut settings = settings_of(&File::default()).unwrap();
        // A greatest idle time, so that any time between pings is less.
        if key == "stream.ping_s" {
            settings["stream"]["idle_s"] = toml::Value::Integer(7_200);
        } else if key == "stream.idle_s" {
            settings["stream"]["ping_s"] = toml::Value::Integer(1);
        }
        let whole = !key.starts_with("sim.volatility") && !key.starts_with("sim.rate");
        let value = match whole {
            true => toml::Value::Integer(number as i64),
            false => toml::Value::Float(number),
        };
        match key.split_once('.') {
            Some((section, key)) => {
                settings[section]
                    .as_table_mut()
                    .unwrap()
                    .insert(key.to_owned(), value);
            }
            None => {
                settings.insert(key.to_owned(), value);
            }
        }
        let file: File = settings.try_into().map_err(anyhow::Error::new)?;
        Config::validate(file)
    };
    for range in ranges::RANGES {
        for taken in [range.min, range.max] {
            let result = with(range.key, taken);
            assert!(
                result.is_ok(),
                "{} = {taken}: {:#}",
                range.key,
                result.unwrap_err()
            );
        }
        for refused in [range.min - 1.0, range.max + 1.0] {
            let error = format!("{:#}", with(range.key, refused).unwrap_err());
            let named = error.contains(range.key) && error.contains(&range.to_string());
            // One below 0 is no unsigned number to begin with.
            assert!(named || refused < 0.0, "{error}");
        }
    }
}

#[test]
fn the_defaults_are_those_of_the_interface() {
    assert_eq!(
        Config::validate(File::default()).unwrap().settings(),
        Settings::default()
    );
}

#[test]
fn every_setting_of_the_interface_is_taken_over() {
    let text = "
        [http]
        cors_origins = ['https://desk.example', 'http://[::1]:3000', '*']
        request_timeout_s = 31
        header_timeout_s = 11
        max_connections = 10001
        connections_per_address = 5001
        session_idle_h = 13
        [auth]
        key_requests_per_s = 201
        key_burst = 401
        address_requests_per_s = 501
        address_burst = 1001
        [stream]
        max_clients = 5001
        clients_per_user = 51
        subscriptions = 101
        instruments = 5001
        message_kib = 257
        messages_per_s = 21
        message_burst = 201
        ping_s = 22
        idle_s = 61
        client_queue = 1025
        client_queue_kib = 1026
        stall_s = 32
        [tls]
        certificate = 'c.pem'
        key = 'k.pem'
        [log]
        level = 'warn'
        modules = { strikewire_dhan = 'debug', 'strikewire_store::writer' = 'off' }
    ";
    let config = Config::validate(read::parse("file.toml", text).unwrap()).unwrap();
    let mut expected = Settings::default();
    let seconds = Duration::from_secs;
    expected.http.cors_origins = ["https://desk.example", "http://[::1]:3000", "*"]
        .map(str::to_owned)
        .into();
    expected.http.request_timeout = seconds(31);
    expected.http.header_timeout = seconds(11);
    expected.http.max_connections = 10_001;
    expected.http.connections_per_address = 5_001;
    expected.http.session_idle = seconds(46_800);
    expected.rates.per_key = 201;
    expected.rates.key_burst = 401;
    expected.rates.per_address = 501;
    expected.rates.address_burst = 1_001;
    expected.stream.max_clients = 5_001;
    expected.stream.clients_per_user = 51;
    expected.stream.subscriptions = 101;
    expected.stream.instruments = 5_001;
    expected.stream.message_bytes = 263_168;
    expected.stream.messages_per_s = 21;
    expected.stream.message_burst = 201;
    expected.stream.ping_every = seconds(22);
    expected.stream.idle_limit = seconds(61);
    expected.stream.client_queue = 1_025;
    expected.stream.client_queue_bytes = 1_050_624;
    expected.stream.stall_limit = seconds(32);
    assert_eq!(config.settings(), expected);
    assert_eq!(config.tls(), Some((Path::new("c.pem"), Path::new("k.pem"))));
    assert_eq!(
        config.log_directives(),
        "warn,strikewire_dhan=debug,strikewire_store::writer=off"
    );
}

#[test]
fn indicators_are_set_up_as_the_file_says() {
    let of = |text: &str| Config::validate(read::parse("file.toml", text).unwrap()).unwrap();
    let config = of("");
    assert_eq!(
        config.gateway().indicators,
        strikewire_gateway::IndicatorConfig::default()
    );
    let leases = config.leases();
    assert_eq!(
        (leases.idle.as_secs(), leases.key_ttl.as_secs()),
        (300, 600)
    );
    assert!(config.redis().is_none());

    let config = of("
        clock = '2026-02-09T10:00:00+05:30@1'
        [indicators]
        ttl_s = 90
        sweep_s = 7
        max_per_user = 11
        max_keys = 12
        warm_up = false
        fill = 'previous'
        grace_ms = 1500
        [redis]
        url = 'redis://h:6380/2'
        prefix = 'a:b-c_1.'
        timeout_ms = 77
    ");
    let seconds = Duration::from_secs;
    let expected = strikewire_gateway::IndicatorConfig {
        sweep: seconds(7),
        fill: strikewire_gateway::studies::Fill::Previous,
        grace: Duration::from_millis(1_500),
        max_per_user: 11,
        max_keys: 12,
        warm_up: false,
    };
    assert_eq!(config.gateway().indicators, expected);
    let leases = config.leases();
    assert_eq!((leases.idle, leases.key_ttl), (seconds(90), seconds(180)));
    let redis = config.redis().unwrap();
    assert_eq!(redis.url.to_string(), "redis://h:6380/2");
    assert_eq!(redis.prefix, "a:b-c_1.");
    assert_eq!(redis.timeout, Duration::from_millis(77));
    // Nodes on a simulated clock share that one.
    assert!(matches!(redis.time, TimeSource::Caller));
    let redis = of("[redis]\nurl = 'redis://h'").redis().unwrap();
    assert!(matches!(redis.time, TimeSource::Server));
}

#[test]
fn values_are_real_only_where_prices_are() {
    for (text, is_mock) in [
        ("", true),
        ("mock = false", true),
        ("broker = 'dhan'", false),
        ("broker = 'dhan'\nmock = true", true),
        (
            "broker = 'dhan'\n[dhan]\nfeed_url = 'ws://127.0.0.1:9010'",
            false,
        ),
    ] {
        let text = format!("{text}\n[redis]\nurl = 'redis://h'");
        let config = Config::validate(read::parse("file.toml", &text).unwrap()).unwrap();
        assert_eq!(config.is_mock(), is_mock, "{text}");
        assert_eq!(config.redis().unwrap().mock, is_mock, "{text}");
    }
}

#[test]
fn every_flag_has_a_variable_and_a_key() {
    let top = taken("");
    let mut seen = 0;
    for arg in Args::command().get_arguments() {
        let Some(flag) = arg.get_long() else { continue };
        // Asks for something else than to serve, or says where the keys are.
        if flag == "print-config" || flag == "config" {
            continue;
        }
        let variable = format!("STRIKEWIRE_{}", flag.to_uppercase().replace('-', "_"));
        assert_eq!(arg.get_env().unwrap().to_str(), Some(variable.as_str()));
        let key = flag.replace('-', "_");
        let of_dhan = key.strip_prefix("dhan_");
        assert!(
            top.contains(&key) || of_dhan.is_some_and(|key| taken("dhan").contains(key)),
            "{flag}"
        );
        assert!(
            SAMPLE.contains(&format!("Flag --{flag}, environment")),
            "{flag}"
        );
        assert!(SAMPLE.contains(&variable), "{variable}");
        seen += 1;
    }
    assert!(seen >= 8, "{seen}");
}

#[test]
fn no_secret_is_shown() {
    let secret = "hunter2";
    // What makes sense is shown without its password; what does not is not shown at all.
    for text in [
        "database = 'postgres://u:hunter2@h/d'",
        "database = 'postgresql://u:hunter2@h:6432/d?password=hunter2&sslmode=require'",
        "database = 'postgres:///d?host=/run/x&user=u&password=hunter2'",
        "database = 'postgres://u:a%2Fhunter2@h/d'",
        "database = 'postgres://u:a/hunter2@h/d'",
        "database = 'mysql://u:hunter2@h/d'",
        "database = 'hunter2'",
        "database = 'postgres://u:hunter2@h/d",
        "database = postgres://u:hunter2@h/d",
        "database = ['postgres://u:hunter2@h/d']",
        "database = { url = 'postgres://u:hunter2@h/d' }",
        "databas = 'postgres://u:hunter2@h/d'",
        "redis = 'redis://u:hunter2@h'",
        "[redis]\nurl = 'redis://u:hunter2@h/1'",
        "[redis]\nurl = 'rediss://:hunter2@h:6380/1?protocol=resp3'",
        "[redis]\nurl = 'redis://h/1?password=hunter2'",
        "[redis]\nurl = 'redis://u:a%2Fhunter2@h'",
        "[redis]\nurl = 'redis://u:a/hunter2@h'",
        "[redis]\nurl = 'redis://u:hunter2@h/x'",
        "[redis]\nurl = 'amqp://u:hunter2@h'",
        "[redis]\nurl = 'hunter2'",
        "[redis]\nurl = ['redis://u:hunter2@h']",
        "[redis]\nprefix = 'redis://u:hunter2@h'",
        "[redis]\ntimeout_ms = 'hunter2'",
        "workers = 'postgres://u:hunter2@h/d'",
        "workers = 'a string \", expected hunter2'",
        "listen = 'postgres://u:hunter2@h/d'",
        "[eod]\ndatabase = 'postgres://u:hunter2@h/d'",
        "[dhan]\nfeed_url = 'wss://u:hunter2@h'",
        "[dhan]\nfeed_url = 'wss://h?token=hunter2'",
        "[dhan]\napi_url = 'https://u:hunter2@h'",
        "[dhan]\nmaster_url = 'https://h#hunter2'",
        "[http]\ncors_origins = ['https://u:hunter2@h']",
    ] {
        let shown = match read::parse("file.toml", text).and_then(Config::validate) {
            Ok(config) => format!("{}{config:?}", config.to_toml().unwrap()),
            Err(error) => format!("{error:#}{error:?}"),
        };
        assert!(!shown.contains(secret), "{text}: {shown}");
    }
    let args = Args {
        database: Some("postgres://u:hunter2@h/d".into()),
        redis: Some("redis://someone:hunter2@h/1".into()),
        ..Args::default()
    };
    let config = Config::load(&args).unwrap();
    let shown = format!("{}{config:?}{args:?}", config.to_toml().unwrap());
    assert!(!shown.contains(secret), "{shown}");
    assert!(shown.contains("url = \"redis://"), "{shown}");
    assert!(shown.contains("postgres://u@h:5432/d"), "{shown}");
}

#[test]
fn changes_are_told_by_when_they_hold() {
    let config = |text: &str| Config::validate(read::parse("file.toml", text).unwrap()).unwrap();
    let check = |old: &str, new: &str, changed: &[&str], needs_restart: &[&str]| {
        let found = config(old).changes(&config(new)).unwrap();
        assert_eq!(found.changed, changed, "{old} -> {new}");
        assert_eq!(found.needs_restart, needs_restart, "{old} -> {new}");
    };
    check("", "", &[], &[]);
    check("", SAMPLE, &[], &[]);
    check(
        "",
        "workers = 3\n[stream]\nping_s = 9\nidle_s = 99\n[chain]\nttl_s = 1",
        &["stream.idle_s", "stream.ping_s"],
        &["chain.ttl_s", "workers"],
    );
    check("", "[log.modules]\na = 'off'", &["log.modules"], &[]);
    check("", "tier_b = []", &[], &["tier_b"]);
    check("", "instruments = 'a.csv'", &[], &["instruments"]);
    check("[eod]\nat = '15:30'", "", &[], &["eod.at"]);
    let tls = |name: &str| format!("[tls]\ncertificate = '{name}.pem'\nkey = 'k.pem'");
    check(&tls("a"), &tls("b"), &[], &["tls.certificate"]);
    check("", &tls("a"), &[], &["tls.certificate", "tls.key"]);
    // Shown they are the same.
    check(
        "database = 'postgres://u:one@h/d'",
        "database = 'postgres://u:two@h/d'",
        &[],
        &["database"],
    );
    let redis = |more: &str| format!("[redis]\nurl = 'redis://u:{more}");
    check(&redis("one@h'"), &redis("two@h'"), &[], &["redis.url"]);
    check(
        &redis("one@h'"),
        &redis("one@h'\nprefix = 'a:'"),
        &[],
        &["redis.prefix"],
    );
    check(
        "",
        "mock = true\n[indicators]\nttl_s = 60\nfill = 'previous'",
        &[],
        &["indicators.fill", "indicators.ttl_s", "mock"],
    );
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let check = |text: &str, expected: &str| {
        let error = match read::parse("file.toml", text) {
            Ok(file) => format!("{:#}", Config::validate(file).unwrap_err()),
            Err(error) => format!("{error:#}"),
        };
        assert!(error.contains(expected), "{text}: {error}");
    };
    check(
        "lisen = '127.0.0.1:8080'",
        "file.toml, line 1: there is no setting lisen, did you mean listen?",
    );
    check(
        "workers = 2\n[stream]\n\nclientqueue = 9",
        "file.toml, line 4: there is no setting stream.clientqueue, did you mean \
         stream.client_queue?",
    );
    check(
        "client_queue = 9",
        "there is no setting client_queue, did you mean stream.client_queue?",
    );
    check(
        "[steam]\nping_s = 9",
        "line 1: there is no setting steam, did you mean stream?",
    );
    check(
        "[log]\nquotidian = 9",
        "line 2: there is no setting log.quotidian",
    );
    check(
        "[[tier_b]]\ncontracts = 'options'\nsymbol = ['NIFTY']",
        "line 3: there is no setting tier_b.symbol, did you mean tier_b.symbols?",
    );
    check(
        "[stream]\nping_s = 'often'",
        "line 2: stream.ping_s: invalid type: text, expected u64 (1 to 3600 seconds)",
    );
    check("workers = -1", "line 1: workers: ");
    check("workers = 0", "workers = 0: expected 1 to 64 threads");
    check("workers = 2\nworkers = 3", "line 2");
    check("\n\nworkers = ", "line 3");
    check(
        "[http]\ncors_origins = ['https://a.example/x']",
        "http.cors_origins[0]",
    );
    check(
        "[http]\ncors_origins = ['*', 'a.example']",
        "http.cors_origins[1]",
    );
    check(
        "[stream]\nping_s = 60",
        "stream.idle_s = 60: expected more than stream.ping_s",
    );
    check(
        "[tls]\ncertificate = 'a'",
        "tls.certificate without tls.key",
    );
    check("[tls]\nkey = 'a'", "tls.key without tls.certificate");
    check("[log]\nlevel = 'loud'", "log.level: unknown variant `loud`");
    check("[log.modules]\n'a=b' = 'info'", "log.modules");
    check("[log.modules]\n'a[b]' = 'info'", "log.modules");
    check("[dhan]\nfeed_url = 'wss://h/?token=1'", "dhan.feed_url");
    check("[chain]\nwidth_stock = 24", "width_stock");
    check("[sim]\nvolatility = -1.0", "sim.volatility");
    check("clock = 'noon'", "clock");
    check("broker = 'zerodha'", "zerodha");
    check("[dhan]\nconnect_burst = 0", "dhan.connect_burst");
    check("[dhan]\nconnect_refill_s = 0", "dhan.connect_refill_s");
    check(
        "[dhan]\nconnect_spacing_ms = 600000",
        "dhan.connect_spacing_ms",
    );
    check("[stream]\nclient_queue = 0", "stream.client_queue");
    check("[store]\nretention_days = 0", "store.retention_days");
    check("[master]\nreload_at = 'dawn'", "master.reload_at");
    check("[eod]\nat = '25:00'", "eod.at");
    check("[redis]\nurl = 'http://h'", "redis.url");
    check("[redis]\nprefix = 'a b'", "redis.prefix");
    check(
        &format!("[redis]\nprefix = '{}'", "a".repeat(65)),
        "redis.prefix",
    );
    check("[indicators]\nfill = 'zero'", "line 2: indicators.fill");
    check("[indicators]\nttl = 300", "did you mean indicators.ttl_s?");
    check("database = 'mysql://u:hunter2@h/d'", "postgres://");
    let rule = "[[tier_b]]\ncontracts = 'options'\nsymbols = ['NIFTY']\n";
    check(&format!("{rule}width = 100"), "tier_b[0].width");
    check(&format!("{rule}exchange = 'NYSE'"), "tier_b[0].exchange");
    check(
        "[[tier_b]]\ncontracts = 'options'\nsymbols = []",
        "tier_b[0].symbols",
    );
}

#[test]
fn a_flag_wins_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strikewire.toml");
    std::fs::write(&path, "listen = '127.0.0.1:1111'\nworkers = 3\n").unwrap();
    let args = Args {
        config: Some(path),
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 2222))),
        ..Args::default()
    };
    let config = Config::load(&args).unwrap();
    assert_eq!(config.listen().port(), 2222);
    assert_eq!(config.workers(), 3);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        if let Ok(file) = read::parse("file.toml", &text) {
            let _ = Config::validate(file);
        }
    }

    #[test]
    fn no_value_panics(key in "[a-z_]{1,20}", value in "[-0-9.a-z'\"\\[\\]]{0,12}") {
        if let Ok(file) = read::parse("file.toml", &format!("[dhan]\n{key} = {value}")) {
            let _ = Config::validate(file);
        }
    }

    #[test]
    fn no_number_panics(connections: usize, per_connection: usize, width: u16, ttl: u64) {
        let mut file = File::default();
        file.dhan.connections = connections;
        file.dhan.per_connection = per_connection;
        file.chain.width_stock = width;
        file.chain.ttl_s = ttl;
        let _ = Config::validate(file);
    }
}
