"""Golden vectors of crates/indicators: bars, and what other libraries make of them.

    python generate.py          # with TA-Lib and talipp installed; writes beside itself

Writes `SERIES.csv` (bars) and `SERIES.SOURCE.csv` for each source below: a column per number,
`ID.OUTPUT` as the crate names them, empty where there is no value. The test `golden.rs` takes the
columns from the file, so a new indicator needs a line here and nothing there.
Numbers have 17 significant digits, which is all of them. The bars are made of a seeded generator
that does not change between versions of Python.
"""

import pathlib
import random
import sys
from dataclasses import dataclass

import numpy as np
import talib
import talipp
from talipp import indicators as tp
from talipp.ohlcv import OHLCV

HERE = pathlib.Path(__file__).parent
SEED = 20260209
ROWS = 300


@dataclass
class Bars:
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    oi: np.ndarray
    day: np.ndarray


def tick(price):
    """To the paisa steps that the exchange has: multiples of 0.05."""
    return max(round(round(price * 20) / 20, 2), 0.05)


def walk(rng, start, step, per_day, volume, oi, flat=(), jumps=()):
    rows, price, interest = [], start, oi or 0
    for nth in range(ROWS):
        if nth % per_day == 0 and nth:
            price *= 1 + rng.gauss(0, 4 * step)  # overnight
        price *= jumps.get(nth, 1) if jumps else 1
        if any(begin <= nth < end for begin, end in flat):
            row = [tick(price)] * 4 + [0]
        else:
            path = [price]
            for _ in range(8):
                path.append(path[-1] * (1 + rng.gauss(0, step / 3)))
            ticks = [tick(each) for each in path]
            row = [ticks[0], max(ticks), min(ticks), ticks[-1]]
            row.append(rng.randrange(1, 5000) * 25 if rng.random() > 0.05 else 0)
            price = ticks[-1]
            interest = max(interest + rng.randrange(-200, 220) * 75, 0)
        rows.append(row + [interest, 20000 + nth // per_day])
    columns = [np.array(column, dtype=float) for column in zip(*rows)]
    if not volume:
        columns[4][:] = np.nan
    if oi is None:
        columns[5][:] = np.nan
    return Bars(*columns)


def series():
    return {
        # An index at 26,500: no volume.
        "index": walk(random.Random(SEED), 26500, 0.0008, 75, False, None),
        # A share, with a gap up and one down.
        "stock": walk(random.Random(SEED + 1), 1440, 0.002, 75, True, None, jumps={150: 1.08, 225: 0.9}),
        # An option: far moves, a stretch without trades at the very beginning and one later.
        "option": walk(random.Random(SEED + 2), 85, 0.02, 75, True, 1_200_000, flat=((5, 9), (120, 145))),
    }


# --- TA-Lib -------------------------------------------------------------------------------------
# (id, outputs, what computes them: an array, or as many as there are outputs)

VALUE = ["value"]
MACD = ["macd", "signal", "histogram"]
BANDS = ["upper", "middle", "lower"]
ADX = ["adx", "plus_di", "minus_di"]
KD = ["k", "d"]


def stoch_rsi(b, rsi, k, k_smoothing, d_smoothing):
    """TA-Lib's STOCHRSI does not smooth k; its STOCH on its RSI does."""
    line = talib.RSI(b.close, rsi)
    first = rsi
    k_line, d_line = talib.STOCH(line[first:], line[first:], line[first:], k, k_smoothing, 0, d_smoothing, 0)
    pad = np.full(first, np.nan)
    return np.concatenate([pad, k_line]), np.concatenate([pad, d_line])


TALIB = [
    ("SMA_5", VALUE, lambda b: talib.SMA(b.close, 5)),
    ("SMA_200", VALUE, lambda b: talib.SMA(b.close, 200)),
    ("EMA_20", VALUE, lambda b: talib.EMA(b.close, 20)),
    ("EMA_9", VALUE, lambda b: talib.EMA(b.close, 9)),
    ("WMA_20", VALUE, lambda b: talib.WMA(b.close, 20)),
    ("DEMA_20", VALUE, lambda b: talib.DEMA(b.close, 20)),
    ("TEMA_20", VALUE, lambda b: talib.TEMA(b.close, 20)),
    ("RSI_14", VALUE, lambda b: talib.RSI(b.close, 14)),
    ("RSI_2", VALUE, lambda b: talib.RSI(b.close, 2)),
    ("MACD_12_26_9", MACD, lambda b: talib.MACD(b.close, 12, 26, 9)),
    ("MACD_5_35_5", MACD, lambda b: talib.MACD(b.close, 5, 35, 5)),
    ("BB_20_2", BANDS, lambda b: talib.BBANDS(b.close, 20, 2, 2)),
    ("BB_10_1.5", BANDS, lambda b: talib.BBANDS(b.close, 10, 1.5, 1.5)),
    ("ATR_14", VALUE, lambda b: talib.ATR(b.high, b.low, b.close, 14)),
    ("ATR_1", VALUE, lambda b: talib.ATR(b.high, b.low, b.close, 1)),
    (
        "ADX_14",
        ADX,
        lambda b: (
            talib.ADX(b.high, b.low, b.close, 14),
            talib.PLUS_DI(b.high, b.low, b.close, 14),
            talib.MINUS_DI(b.high, b.low, b.close, 14),
        ),
    ),
    ("STOCH_14_3_3", KD, lambda b: talib.STOCH(b.high, b.low, b.close, 14, 3, 0, 3, 0)),
    ("STOCH_5_1_3", KD, lambda b: talib.STOCHF(b.high, b.low, b.close, 5, 3, 0)),
    ("STOCHRSI_14_14_3_3", KD, lambda b: stoch_rsi(b, 14, 14, 3, 3)),
    ("STOCHRSI_14_5_1_3", KD, lambda b: talib.STOCHRSI(b.close, 14, 5, 3, 0)),
    ("ROC_10", VALUE, lambda b: talib.ROC(b.close, 10)),
    ("CCI_20", VALUE, lambda b: talib.CCI(b.high, b.low, b.close, 20)),
    ("CCI_5", VALUE, lambda b: talib.CCI(b.high, b.low, b.close, 5)),
    ("WILLR_14", VALUE, lambda b: talib.WILLR(b.high, b.low, b.close, 14)),
    ("OBV", VALUE, lambda b: talib.OBV(b.close, b.volume)),
    ("MFI_14", VALUE, lambda b: talib.MFI(b.high, b.low, b.close, b.volume, 14)),
    ("MFI_2", VALUE, lambda b: talib.MFI(b.high, b.low, b.close, b.volume, 2)),
    ("PSAR_0.02_0.2", VALUE, lambda b: talib.SAR(b.high, b.low, 0.02, 0.2)),
    ("PSAR_0.1_0.15", VALUE, lambda b: talib.SAR(b.high, b.low, 0.1, 0.15)),
]

# --- talipp -------------------------------------------------------------------------------------
# (id, outputs, the indicator, whether it takes whole bars or closes)

CHANNEL = {"ub": "upper", "cb": "middle", "lb": "lower"}

TALIPP = [
    ("RSI_14", VALUE, lambda: tp.RSI(14), "closes"),
    ("EMA_20", VALUE, lambda: tp.EMA(20), "closes"),
    ("WMA_20", VALUE, lambda: tp.WMA(20), "closes"),
    ("DEMA_20", VALUE, lambda: tp.DEMA(20), "closes"),
    ("TEMA_20", VALUE, lambda: tp.TEMA(20), "closes"),
    ("BB_20_2", CHANNEL, lambda: tp.BB(20, 2), "closes"),
    ("MACD_12_26_9_TV", MACD, lambda: tp.MACD(12, 26, 9), "closes"),
    ("ATR_14_TV", VALUE, lambda: tp.ATR(14), "bars"),
    ("ADX_14_TV", ADX, lambda: tp.ADX(14, 14), "bars"),
    ("STOCHRSI_14_14_3_3", KD, lambda: tp.StochRSI(14, 14, 3, 3), "closes"),
    ("ROC_10", VALUE, lambda: tp.ROC(10), "closes"),
    ("OBV", VALUE, lambda: tp.OBV(), "bars"),
    ("KELTNER_20_2_10", CHANNEL, lambda: tp.KeltnerChannels(20, 10, 2, 2), "bars"),
    ("KELTNER_5_1.5_14", CHANNEL, lambda: tp.KeltnerChannels(5, 14, 1.5, 1.5), "bars"),
    ("DONCHIAN_20", CHANNEL, lambda: tp.DonchianChannels(20), "bars"),
]


# --- Plain: no library has it in this convention; written down from the definition ----------------
# As in TALIB.



def vwap(b):
    typical = (b.high + b.low + b.close) / 3
    out = np.full(ROWS, np.nan)
    for nth in range(ROWS):
        today = (b.day == b.day[nth]) & (np.arange(ROWS) <= nth)
        volume = b.volume[today].sum()
        if volume > 0:
            out[nth] = (typical[today] * b.volume[today]).sum() / volume
    return out


def supertrend(b, period, factor):
    """The script that TradingView's manual gives for ta.supertrend, line by line."""
    true_range = np.maximum(b.high - b.low, 0)
    true_range[1:] = np.max(
        [b.high[1:] - b.low[1:], abs(b.high[1:] - b.close[:-1]), abs(b.low[1:] - b.close[:-1])], axis=0
    )
    atr = np.full(ROWS, np.nan)
    atr[period - 1] = true_range[:period].mean()
    for nth in range(period, ROWS):
        atr[nth] = (atr[nth - 1] * (period - 1) + true_range[nth]) / period
    value, direction = np.full(ROWS, np.nan), np.full(ROWS, np.nan)
    last_upper = last_lower = 0.0
    for nth in range(period - 1, ROWS):
        middle = (b.high[nth] + b.low[nth]) / 2
        upper, lower = middle + factor * atr[nth], middle - factor * atr[nth]
        last_close = b.close[nth - 1] if nth else np.nan
        if nth > period - 1:
            lower = lower if lower > last_lower or last_close < last_lower else last_lower
            upper = upper if upper < last_upper or last_close > last_upper else last_upper
        # TradingView's direction is 1 in a falling trend.
        if nth == period - 1:
            down = 1
        elif value[nth - 1] == last_upper:
            down = -1 if b.close[nth] > upper else 1
        else:
            down = 1 if b.close[nth] < lower else -1
        value[nth] = lower if down == -1 else upper
        direction[nth] = -down
        last_upper, last_lower = upper, lower
    return value, direction


def ichimoku(b, conversion, base, span):
    """The cloud over a bar is that of `base - 1` bars ago. talipp moves its slower edge a bar more."""

    def middle(length, nth):
        if nth < length - 1:
            return np.nan
        window = slice(nth - length + 1, nth + 1)
        return (b.high[window].max() + b.low[window].min()) / 2

    rows = []
    for nth in range(ROWS):
        then = nth - (base - 1)
        cloud = (middle(conversion, then) + middle(base, then)) / 2, middle(span, then)
        rows.append([middle(conversion, nth), middle(base, nth), *cloud, b.close[nth]])
    return tuple(np.array(rows).T)


def days_before(b):
    """Of each bar: the bars of the day before, and the first of its own day."""
    for nth in range(ROWS):
        before = b.day == b.day[nth] - 1
        yield nth, before if before.any() else None, np.flatnonzero(b.day == b.day[nth])[0]


def pivots(kind):
    def compute(b):
        out = np.full((5, ROWS), np.nan)
        for nth, before, first in days_before(b):
            if before is None:
                continue
            h, l, c, o = b.high[before].max(), b.low[before].min(), b.close[before][-1], b.open[first]
            p = (h + l + 2 * o) / 4 if kind == "woodie" else (h + l + c) / 3
            out[:, nth] = {
                "classic": lambda: [p, p * 2 - l, p * 2 - h, p + h - l, p - h + l],
                "fibonacci": lambda: [p] + [p + sign * part * (h - l) for part in (0.382, 0.618) for sign in (1, -1)],
                "camarilla": lambda: [p] + [c + sign * 1.1 * (h - l) / part for part in (4, 2) for sign in (1, -1)],
                "woodie": lambda: [p, p * 2 - l, p * 2 - h, p + h - l, p - h + l],
            }[kind]()
        return tuple(out)

    return compute


def oi_change(b):
    change, percent = np.full(ROWS, np.nan), np.full(ROWS, np.nan)
    for nth, before, _ in days_before(b):
        if before is not None:
            last = b.oi[before][-1]
            change[nth] = b.oi[nth] - last
            percent[nth] = (b.oi[nth] / last - 1) * 100
    return change, percent


CLOUD = ["conversion", "base", "span_a", "span_b", "lagging"]
PIVOTS = ["pivot", "r1", "s1", "r2", "s2"]

PLAIN = [
    ("VWAP", VALUE, vwap),
    ("SUPERTREND_10_3", ["value", "direction"], lambda b: supertrend(b, 10, 3)),
    ("SUPERTREND_7_1.5", ["value", "direction"], lambda b: supertrend(b, 7, 1.5)),
    ("ICHIMOKU_9_26_52", CLOUD, lambda b: ichimoku(b, 9, 26, 52)),
    ("ICHIMOKU_30_10_20", CLOUD, lambda b: ichimoku(b, 30, 10, 20)),
    ("PIVOT", PIVOTS, pivots("classic")),
    ("PIVOTFIB", PIVOTS, pivots("fibonacci")),
    ("PIVOTCAM", ["pivot", "r3", "s3", "r4", "s4"], pivots("camarilla")),
    ("PIVOTWOODIE", PIVOTS, pivots("woodie")),
    ("OICHANGE", ["change", "percent"], oi_change),
]


# ------------------------------------------------------------------------------------------------


def from_functions(table):
    def columns(b):
        for name, outputs, compute in table:
            arrays = compute(b)
            if len(outputs) == 1:
                arrays = (arrays,)
            assert len(arrays) == len(outputs), name
            for output, array in zip(outputs, arrays):
                yield f"{name}.{output}", array

    return columns


def from_talipp(b):
    whole = [
        OHLCV(*(float(part) for part in parts))
        for parts in zip(b.open, b.high, b.low, b.close, b.volume)
    ]
    inputs = {"closes": [float(close) for close in b.close], "bars": whole}
    for name, outputs, make, takes in TALIPP:
        study = make()
        for each in inputs[takes]:
            study.add(each)
        if not isinstance(outputs, dict):
            outputs = {output: output for output in outputs}
        for theirs, ours in outputs.items():
            yield f"{name}.{ours}", [
                value if len(outputs) == 1 or value is None else getattr(value, theirs)
                for value in study
            ]


SOURCES = {
    "talib": (from_functions(TALIB), f"TA-Lib {talib.__ta_version__.decode()}, Python wheel {talib.__version__}"),
    "talipp": (from_talipp, "talipp 2.7.0"),
    "plain": (from_functions(PLAIN), "from the definitions, numpy"),
}

# Where a market does not move at all talipp says otherwise, and TA-Lib's stochastic RSI is the
# position of one rounding between two others: (series, source, beginning of an id).
# An index has no volume.
SKIPPED = [
    ("option", "talipp", ""),
    ("option", "talib", "STOCHRSI_"),
    ("index", "talipp", "OBV"),
]


def is_skipped(series, source, name):
    return any((series, source) == (a, b) and name.startswith(c) for a, b, c in SKIPPED)


def cell(value):
    return "" if value is None or np.isnan(value) else f"{value:.17g}"


def write(path, head, columns):
    names, arrays = zip(*columns)
    lines = [f"# {head}; Python {sys.version.split()[0]}, numpy {np.__version__}; generate.py, seed {SEED}"]
    lines.append(",".join(names))
    lines += [",".join(cell(value) for value in row) for row in zip(*arrays, strict=True)]
    path.write_text("\n".join(lines) + "\n")


def main():
    for name, b in series().items():
        bars = [(field, getattr(b, field)) for field in ("open", "high", "low", "close", "volume", "oi", "day")]
        write(HERE / f"{name}.csv", "bars, made up", bars)
        for source, (columns, version) in SOURCES.items():
            made = [column for column in columns(b) if not is_skipped(name, source, column[0])]
            if made:
                write(HERE / f"{name}.{source}.csv", version, made)


if __name__ == "__main__":
    main()
