#!/usr/bin/env python3
"""Compares indicators that Strikewire computes with TA-Lib's, over the recorded candles.

    check_indicators.py http://127.0.0.1:8080 http://127.0.0.1:9000

The first address is Strikewire's, the second its broker's: the stand-in's, which it says when
it starts. RSI, MACD and Bollinger Bands of NIFTY are subscribed in bars of one and of five
minutes; when they are final and warm, TA-Lib computes them from the closes of all candles up
to the same bar. The exit status is 0 when none is off by more than 1e-6.

Only bars count that were made of candles: the server must run on a clock that has just
started inside of trading hours (`--clock 2026-02-09T10:04:20+05:30@1`), after which one is
under way and the ones before are asked for.
"""

import argparse
import datetime
import json
import time
import urllib.error
import urllib.request

import numpy
import talib

INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
OPEN, CLOSE = datetime.time(9, 15), datetime.time(15, 30)
DAYS = 9
WAIT = 120
TOLERANCE = 1e-6
NUMBERS = {
    "RSI_14": lambda closes: {"value": talib.RSI(closes, 14)},
    "MACD_12_26_9": lambda closes: dict(
        zip(("macd", "signal", "histogram"), talib.MACD(closes, 12, 26, 9))
    ),
    "BB_20_2": lambda closes: dict(
        zip(("upper", "middle", "lower"), talib.BBANDS(closes, 20, 2.0, 2.0))
    ),
}


def ask(url, body=None, headers=None):
    """The answer and its status."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def value_of(server, timeframe, indicator):
    """The first value that is final and warm."""
    url = f"{server}/api/v2/indicators/NIFTY/{timeframe}/{indicator}"
    until = time.monotonic() + WAIT
    while True:
        status, value = ask(url)
        if status == 200 and value["final"] and value["warm"]:
            return value
        assert time.monotonic() < until, f"{url}: {status} {value}"
        time.sleep(0.2)


def closes_until(broker, bar_time, minutes):
    """The closes of all bars of the last days, the one that begins at `bar_time` included."""
    begin = bar_time - datetime.timedelta(days=DAYS)
    body = {
        "securityId": "13",
        "exchangeSegment": "IDX_I",
        "instrument": "INDEX",
        "interval": "1",
        "oi": False,
        "fromDate": f"{begin:%Y-%m-%d} 09:15:00",
        "toDate": f"{bar_time:%Y-%m-%d} 15:30:00",
    }
    headers = {"access-token": "any", "client-id": "1000000001"}
    # The server asks too, and both are one account: a question may be one too many.
    for _ in range(50):
        status, answer = ask(f"{broker}/v2/charts/intraday", body, headers)
        if status == 200:
            break
        time.sleep(0.2)
    assert status == 200, f"no candles: {status} {answer}"
    answer = answer.get("data", answer)
    bars = {}
    for at, close in zip(answer["timestamp"], answer["close"]):
        at = datetime.datetime.fromtimestamp(at, INDIA)
        if at.weekday() > 4 or not OPEN <= at.time() < CLOSE:
            continue
        since = (at.hour * 60 + at.minute) - (OPEN.hour * 60 + OPEN.minute)
        start = at.replace(second=0) - datetime.timedelta(minutes=since % minutes)
        if start <= bar_time:
            bars[start] = close
    return numpy.array([close for _, close in sorted(bars.items())])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server")
    parser.add_argument("broker")
    arguments = parser.parse_args()
    server = arguments.server.rstrip("/")
    broker = arguments.broker.rstrip("/").replace("ws://", "http://")
    compared, worst = 0, 0.0
    for timeframe, minutes in (("1min", 1), ("5min", 5)):
        body = {
            "user_id": 1,
            "session_id": "talib",
            "symbol": "NIFTY",
            "timeframe": timeframe,
            "indicators": [{"indicator_id": name} for name in NUMBERS],
        }
        status, answer = ask(f"{server}/api/v2/indicators/subscribe", body)
        assert status == 200, f"{status} {answer}"
        for name, compute in NUMBERS.items():
            value = value_of(server, timeframe, name)
            bar_time = datetime.datetime.fromisoformat(value["bar_time"]).astimezone(INDIA)
            closes = closes_until(broker, bar_time, minutes)
            assert len(closes) > 300, f"{len(closes)} bars"
            found = value.get("outputs") or {"value": value["value"]}
            for part, numbers in compute(closes).items():
                off = abs(found[part] - numbers[-1])
                assert off < TOLERANCE, (
                    f"{name} {timeframe} {part} at {bar_time}: {found[part]}, TA-Lib {numbers[-1]}"
                )
                worst = max(worst, off)
                compared += 1
        ask(f"{server}/api/v2/indicators/unsubscribe", body)
    print(f"TA-Lib {talib.__version__}: {compared} numbers are the same (off by {worst:.1e} at most)")


if __name__ == "__main__":
    main()
