//! Streaming beside batches: each value computed anew from all bars so far, as the definition
//! says, and without drift however long it runs.

mod common;

use common::Market;
use strikewire_indicators::{IndicatorId, Ohlcv, Study};

type Batch = fn(&[Ohlcv], &[usize]) -> Option<Vec<f64>>;

fn closes(bars: &[Ohlcv]) -> Vec<f64> {
    bars.iter().map(|bar| bar.close).collect()
}

fn last<T>(of: &[T], count: usize) -> Option<&[T]> {
    of.len().checked_sub(count).map(|from| &of[from..])
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}

/// Seeded with the mean of the first `n`, then smoothed by `factor`.
fn smooth(of: &[f64], n: usize, factor: f64) -> Vec<f64> {
    if of.len() < n {
        return Vec::new();
    }
    let mut values = vec![mean(&of[..n])];
    for number in &of[n..] {
        values.push(values[values.len() - 1] * (1.0 - factor) + number * factor);
    }
    values
}

fn ema(of: &[f64], n: usize) -> Vec<f64> {
    smooth(of, n, 2.0 / (n as f64 + 1.0))
}

fn wilder(of: &[f64], n: usize) -> Vec<f64> {
    smooth(of, n, 1.0 / n as f64)
}

fn rsi(of: &[f64], n: usize) -> Vec<f64> {
    let changes: Vec<f64> = of.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let gains: Vec<f64> = changes.iter().map(|change| change.max(0.0)).collect();
    let losses: Vec<f64> = changes.iter().map(|change| -change.min(0.0)).collect();
    wilder(&gains, n)
        .iter()
        .zip(wilder(&losses, n))
        .map(|(gain, loss)| {
            if gain + loss == 0.0 {
                0.0
            } else {
                100.0 - 100.0 * loss / (gain + loss)
            }
        })
        .collect()
}

fn true_ranges(bars: &[Ohlcv]) -> Vec<f64> {
    bars.windows(2)
        .map(|pair| pair[1].high.max(pair[0].close) - pair[1].low.min(pair[0].close))
        .collect()
}

/// The mean of the last `k` positions in the range of `n` bars, and of the last `d` of those.
fn stochastic(
    highs: &[f64],
    lows: &[f64],
    closes: &[f64],
    [n, k, d]: [usize; 3],
) -> Option<Vec<f64>> {
    let position = |at: usize| {
        let from = at + 1 - n;
        let high = highs[from..=at]
            .iter()
            .fold(f64::MIN, |most, &it| most.max(it));
        let low = lows[from..=at]
            .iter()
            .fold(f64::MAX, |least, &it| least.min(it));
        if high - low < 1e-10 {
            0.0
        } else {
            (closes[at] - low) * 100.0 / (high - low)
        }
    };
    let first = (n + k + d).checked_sub(3)?;
    let at = closes.len().checked_sub(1).filter(|at| *at >= first)?;
    let k_at = |at: usize| mean(&(at + 1 - k..=at).map(position).collect::<Vec<_>>());
    let d_at = mean(&(at + 1 - d..=at).map(k_at).collect::<Vec<_>>());
    Some(vec![k_at(at), d_at])
}

const BATCHES: &[(&str, Batch)] = &[
    ("SMA", |bars, p| {
        Some(vec![mean(last(&closes(bars), p[0])?)])
    }),
    ("WMA", |bars, p| {
        let closes = closes(bars);
        let weighted = last(&closes, p[0])?
            .iter()
            .zip(1..)
            .map(|(it, weight)| it * f64::from(weight));
        Some(vec![
            weighted.sum::<f64>() / (1..=p[0]).sum::<usize>() as f64,
        ])
    }),
    ("EMA", |bars, p| {
        Some(vec![*ema(&closes(bars), p[0]).last()?])
    }),
    ("DEMA", |bars, p| {
        let once = ema(&closes(bars), p[0]);
        let twice = ema(&once, p[0]);
        Some(vec![2.0 * once.last()? - twice.last()?])
    }),
    ("TEMA", |bars, p| {
        let once = ema(&closes(bars), p[0]);
        let twice = ema(&once, p[0]);
        let thrice = ema(&twice, p[0]);
        Some(vec![
            3.0 * once.last()? - 3.0 * twice.last()? + thrice.last()?,
        ])
    }),
    ("RSI", |bars, p| {
        Some(vec![*rsi(&closes(bars), p[0]).last()?])
    }),
    ("MACD", |bars, p| {
        let closes = closes(bars);
        let slow = ema(&closes, p[1]);
        let fast = ema(closes.get(p[1] - p[0]..)?, p[0]);
        let lines: Vec<f64> = fast
            .iter()
            .zip(&slow)
            .map(|(fast, slow)| fast - slow)
            .collect();
        let (line, signal) = (*lines.last()?, *ema(&lines, p[2]).last()?);
        Some(vec![line, signal, line - signal])
    }),
    ("BB", |bars, p| {
        let closes = closes(bars);
        let window = last(&closes, p[0])?;
        let middle = mean(window);
        let squares: Vec<f64> = window.iter().map(|it| (it - middle).powi(2)).collect();
        let band = p[1] as f64 * mean(&squares).sqrt();
        Some(vec![middle + band, middle, middle - band])
    }),
    ("ATR", |bars, p| {
        Some(vec![*wilder(&true_ranges(bars), p[0]).last()?])
    }),
    ("STOCH", |bars, p| {
        let highs: Vec<f64> = bars.iter().map(|bar| bar.high).collect();
        let lows: Vec<f64> = bars.iter().map(|bar| bar.low).collect();
        stochastic(&highs, &lows, &closes(bars), [p[0], p[1], p[2]])
    }),
    ("STOCHRSI", |bars, p| {
        let rsi = rsi(&closes(bars), p[0]);
        stochastic(&rsi, &rsi, &rsi, [p[1], p[2], p[3]])
    }),
    ("ROC", |bars, p| {
        let closes = closes(bars);
        let window = last(&closes, p[0] + 1)?;
        Some(vec![(window[p[0]] - window[0]) * 100.0 / window[0]])
    }),
    ("ADX", |bars, p| {
        // Wilder's running sums begin with `n - 1` bars; a mean of the smoothing of `n` times the
        // numbers is that sum.
        let n = p[0];
        let sums = |of: Vec<f64>| -> Vec<f64> {
            let Some(seed) = of.get(..n - 1) else {
                return Vec::new();
            };
            let mut values = vec![seed.iter().sum::<f64>()];
            for number in &of[n - 1..] {
                let last = values[values.len() - 1];
                values.push(last - last / n as f64 + number);
            }
            values.split_off(1)
        };
        let moves = |of: fn(&Ohlcv, &Ohlcv) -> f64, other: fn(&Ohlcv, &Ohlcv) -> f64| {
            let pairs = bars
                .windows(2)
                .map(|pair| (of(&pair[0], &pair[1]), other(&pair[0], &pair[1])));
            pairs
                .map(|(of, other)| if of > other && of > 0.0 { of } else { 0.0 })
                .collect()
        };
        let up: fn(&Ohlcv, &Ohlcv) -> f64 = |last, bar| bar.high - last.high;
        let down: fn(&Ohlcv, &Ohlcv) -> f64 = |last, bar| last.low - bar.low;
        let ranges = sums(true_ranges(bars));
        let indicator = |sums: Vec<f64>| -> Vec<f64> {
            sums.iter()
                .zip(&ranges)
                .map(|(sum, range)| {
                    if *range == 0.0 {
                        0.0
                    } else {
                        100.0 * sum / range
                    }
                })
                .collect()
        };
        let (plus, minus) = (
            indicator(sums(moves(up, down))),
            indicator(sums(moves(down, up))),
        );
        let index: Vec<f64> = plus
            .iter()
            .zip(&minus)
            .map(|(plus, minus)| 100.0 * (plus - minus).abs() / (plus + minus))
            .collect();
        Some(vec![
            *wilder(&index, n).last()?,
            *plus.last()?,
            *minus.last()?,
        ])
    }),
];

#[test]
fn streaming_is_as_batch() {
    let cases = [
        ("SMA", &[1, 2, 20][..], 1),
        ("WMA", &[1, 2, 20], 1),
        ("EMA", &[1, 2, 20], 1),
        ("DEMA", &[2, 20], 1),
        ("TEMA", &[2, 20], 1),
        ("RSI", &[2, 14], 1),
        ("MACD", &[2, 5, 3, 12, 26, 9], 3),
        ("BB", &[2, 1, 20, 2], 2),
        ("ATR", &[1, 14], 1),
        ("ADX", &[2, 14], 1),
        ("STOCH", &[1, 1, 1, 5, 3, 2, 14, 3, 3], 3),
        ("STOCHRSI", &[2, 3, 1, 2, 14, 14, 3, 3], 4),
        ("ROC", &[1, 10], 1),
    ];
    assert_eq!(cases.len(), BATCHES.len());
    // Without the stretches where nothing moves: there the batch divides by zero.
    let mut market = Market::new(1_440.0, 3).filter(|bar| bar.high > bar.low);
    let bars: Vec<_> = market.by_ref().take(260).collect();
    for (name, parameters, each) in cases {
        let (_, batch) = BATCHES.iter().find(|(it, _)| *it == name).expect(name);
        for parameters in parameters.chunks(each) {
            let text = parameters
                .iter()
                .fold(name.to_owned(), |text, it| format!("{text}_{it}"));
            let mut study = text.parse::<IndicatorId>().expect(&text).build();
            for nth in 0..bars.len() {
                study.update(&bars[nth]);
                let expected = batch(&bars[..=nth], parameters);
                let value = study.value();
                assert_eq!(value.is_some(), expected.is_some(), "{text}, bar {nth}");
                let expected = expected.unwrap_or_default();
                let value = value.as_ref().map_or(&[][..], |it| it.as_slice());
                assert_eq!(value.len(), expected.len());
                for (value, expected) in value.iter().zip(expected) {
                    let difference = (value - expected).abs();
                    assert!(
                        difference <= 1e-10 * expected.abs().max(1.0),
                        "{text}, bar {nth}: {value}, expected {expected}"
                    );
                }
            }
        }
    }
}

/// Prices are whole numbers of ticks, so what is summed up over a window is known exactly.
struct Exact {
    sma: f64,
    wma: f64,
    deviation: f64,
}

fn exact(window: &[Ohlcv]) -> Exact {
    let ticks: Vec<i128> = window
        .iter()
        .map(|bar| (bar.close * 20.0).round() as i128)
        .collect();
    let n = ticks.len() as i128;
    let sum: i128 = ticks.iter().sum();
    let weighted: i128 = ticks
        .iter()
        .zip(1..)
        .map(|(ticks, weight)| ticks * weight)
        .sum();
    let squares: i128 = ticks.iter().map(|ticks| ticks * ticks).sum();
    let part = |of: i128, by: i128| of as f64 / by as f64;
    Exact {
        sma: part(sum, n) / 20.0,
        wma: part(weighted, n * (n + 1) / 2) / 20.0,
        deviation: part(n * squares - sum * sum, n * n).sqrt() / 20.0,
    }
}

/// A million bars, and ten million where `STRIKEWIRE_LONG` is set.
#[test]
fn ten_million_bars_do_not_wear_it_out() {
    let bars = if std::env::var_os("STRIKEWIRE_LONG").is_some() {
        10_000_000
    } else {
        1_000_000
    };
    let ids = [
        "SMA_20",
        "WMA_20",
        "BB_20_2",
        "EMA_20",
        "RSI_14",
        "ATR_14",
        "MACD_12_26_9",
        "ADX_14",
        "STOCH_14_3_3",
    ]
    .map(|text| text.parse::<IndicatorId>().expect(text));
    let longest = ids.iter().map(IndicatorId::warm_up).max().expect("nine");
    let mut studies = ids.map(|id| id.build());
    let mut recent: Vec<Ohlcv> = Vec::new();
    let (mut worst, mut checks, mut renewals) = ([0.0_f64; 3], 0, 0);
    for (nth, bar) in Market::new(26_500.0, 11).take(bars).enumerate() {
        for study in &mut studies {
            study.update(&bar);
        }
        // Of each hundred thousand bars the last 60, with what is needed before.
        let left = 100_000 - nth % 100_000;
        if left > 3 * longest + 60 {
            recent.clear();
            continue;
        }
        recent.push(bar);
        if left > 60 {
            continue;
        }
        let Exact {
            sma,
            wma,
            deviation,
        } = exact(last(&recent, 20).expect("enough"));
        let value = |nth: usize| studies[nth].value().expect("warm");
        let bands = value(2);
        let bands = bands.as_slice();
        let differences = [
            (value(0).first() - sma).abs(),
            (value(1).first() - wma).abs(),
            ((bands[0] - bands[2]) / 4.0 - deviation).abs(),
        ];
        for (worst, difference) in worst.iter_mut().zip(differences) {
            *worst = worst.max(difference);
        }
        checks += 1;
        // The others forget what was before their warm-up, and their roundings with it; but
        // nothing while nothing moves.
        let moving = recent.iter().filter(|bar| bar.high > bar.low).count();
        if left > 1 || moving < longest {
            continue;
        }
        renewals += 1;
        for (id, study) in ids.iter().zip(&studies) {
            let mut fresh = id.build();
            for bar in &recent {
                fresh.update(bar);
            }
            let (long, fresh) = (study.value().expect("warm"), fresh.value().expect("warm"));
            for (long, fresh) in long.as_slice().iter().zip(fresh.as_slice()) {
                let difference = (long - fresh).abs();
                assert!(
                    difference <= 1e-9 * fresh.abs().max(1.0),
                    "{id}: {long}, anew {fresh}"
                );
            }
        }
    }
    assert_eq!(checks, bars / 100_000 * 60);
    assert!(renewals > bars / 200_000, "{renewals}");
    eprintln!(
        "after {bars} bars at most off by: SMA {:e}, WMA {:e}, deviation {:e}",
        worst[0], worst[1], worst[2]
    );
    // A price near 26,500 has a rounding of 3.6e-12.
    assert!(worst[0] < 5e-11 && worst[1] < 5e-11, "{worst:?}");
    assert!(worst[2] < 1e-9, "{worst:?}");
}
