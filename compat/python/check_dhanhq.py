#!/usr/bin/env python3
"""Points the official Python client of DhanHQ at a feed and prints what it decodes.

    check_dhanhq.py ws://127.0.0.1:9000 --option NSE_FNO:35123

An index, an equity and an option are subscribed in ticker, quote and full mode, one
mode after the other, each on a connection of its own. The exit status is 0 when every
kind of packet that must come came in time, 1 otherwise.

With --decoder PROGRAM every frame that the client decoded is given to that program too
(compat's `decode`), and what it says must be the same, field by field.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from decimal import Decimal

from dhanhq import DhanContext, MarketFeed

SEGMENTS = {
    "IDX_I": MarketFeed.IDX,
    "NSE_EQ": MarketFeed.NSE,
    "NSE_FNO": MarketFeed.NSE_FNO,
    "NSE_CURRENCY": MarketFeed.NSE_CURR,
    "BSE_EQ": MarketFeed.BSE,
    "MCX_COMM": MarketFeed.MCX,
    "BSE_CURRENCY": MarketFeed.BSE_CURR,
    "BSE_FNO": MarketFeed.BSE_FNO,
}

# What the client calls the packets, by what is subscribed.
EXPECTED = {
    ("ticker", "index"): {"Ticker Data", "Previous Close"},
    ("ticker", "equity"): {"Ticker Data"},
    ("ticker", "option"): {"Ticker Data"},
    ("quote", "index"): {"Quote Data", "Previous Close"},
    ("quote", "equity"): {"Quote Data"},
    ("quote", "option"): {"Quote Data", "OI Data"},
    # An index has no depth: it is sent as a quote.
    ("full", "index"): {"Quote Data", "Previous Close"},
    ("full", "equity"): {"Full Data"},
    ("full", "option"): {"Full Data"},
}

MODES = {"ticker": MarketFeed.Ticker, "quote": MarketFeed.Quote, "full": MarketFeed.Full}


# The fields of the client that are prices, and their names in what the decoder says.
PRICES = {
    "LTP": "ltp",
    "avg_price": "atp",
    "open": "open",
    "close": "prev_close",
    "high": "high",
    "low": "low",
    "prev_close": "prev_close",
    "bid_price": "bid",
    "ask_price": "ask",
}
COUNTS = {
    "LTQ": "ltq",
    "volume": "volume",
    "total_sell_quantity": "total_sell_qty",
    "total_buy_quantity": "total_buy_qty",
    "OI": "oi",
    "prev_OI": "oi",
    "oi_day_high": "oi_high",
    "oi_day_low": "oi_low",
    "bid_quantity": "bid_qty",
    "ask_quantity": "ask_qty",
    "bid_orders": "bid_orders",
    "ask_orders": "ask_orders",
}
KINDS = {
    "Ticker Data": "ticker",
    "Quote Data": "quote",
    "Full Data": "full",
    "OI Data": "open interest",
    "Previous Close": "previous close",
}
INDIA = 19_800


class Feed(MarketFeed):
    """The client, which keeps what it was given beside what it made of it."""

    def process_data(self, data):
        decoded = super().process_data(data)
        self.seen.append((bytes(data), decoded))
        return decoded


def in_our_words(packet, level=""):
    """What the client says, in the names and units of the decoder."""
    said = {}
    for name, value in packet.items():
        if name in PRICES:
            # A price of 0 is none.
            said[PRICES[name] + level] = int(Decimal(value if isinstance(value, str) else repr(value)) * 10_000) or None
        elif name in COUNTS:
            zero_is_none = name in ("oi_day_high", "oi_day_low")
            said[COUNTS[name] + level] = (value or None) if zero_is_none else value
        elif name == "LTT":
            said["ltt"] = value
        elif name == "depth":
            for index, side in enumerate(value):
                said.update(in_our_words(side, f" of level {index}"))
        elif name not in ("type", "exchange_segment", "security_id"):
            raise SystemExit(f"the client says {name!r}, which is not compared: {packet}")
    return said


def differences(seen, decoder):
    """What the decoder says otherwise than the client."""
    lines = "".join(frame.hex() + "\n" for frame, _ in seen)
    answer = subprocess.run([decoder], input=lines, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in answer.stdout.splitlines()]
    if len(answers) != len(seen):
        return [f"{len(seen)} frames, but {len(answers)} answers"]
    wrong = []
    for (frame, packet), [ours, *_] in zip(seen, answers):
        theirs = {"kind": KINDS[packet["type"]], "segment": packet["exchange_segment"], "id": packet["security_id"]}
        theirs["fields"] = in_our_words(packet)
        fields = ours["fields"]
        if fields.get("ltt") is not None:
            # The client shows the time of day of the wire's clock, which is India's.
            fields["ltt"] = time.strftime("%H:%M:%S", time.gmtime(fields["ltt"] + INDIA))
        if ours != theirs:
            wrong.append(f"the client says {theirs}, the decoder {ours}, of {frame.hex()}")
    return wrong


def instrument(text):
    segment, _, security_id = text.partition(":")
    if segment not in SEGMENTS or not security_id.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not an instrument such as NSE_FNO:35123")
    return SEGMENTS[segment], security_id


def contradiction(packet):
    """What is wrong with a decoded packet, if anything."""
    kind = packet["type"]
    price = float(packet["prev_close" if kind == "Previous Close" else "LTP"]) if kind != "OI Data" else 1.0
    if price <= 0:
        return "the price is not above 0"
    if kind in ("Quote Data", "Full Data") and not float(packet["low"]) <= price <= float(packet["high"]):
        return "the price is not between low and high"
    if kind == "Full Data":
        bids = [float(level["bid_price"]) for level in packet["depth"]]
        asks = [float(level["ask_price"]) for level in packet["depth"]]
        if bids != sorted(bids, reverse=True) or asks != sorted(asks):
            return "the depth is not in order"
    return None


async def one_mode(mode, named, deadline, decoder):
    """Subscribes all instruments in one mode; what is missing when time is up."""
    wanted = {(key, kind) for name, key in named.items() for kind in EXPECTED[mode, name]}
    names = {key: name for name, key in named.items()}
    feed = Feed(
        DhanContext("1000000001", "any-token"),
        [(segment, security_id, MODES[mode]) for segment, security_id in named.values()],
        "v2",
    )
    feed.seen = []
    wrong = []
    end = time.monotonic() + deadline
    await feed.connect()
    while wanted and (left := end - time.monotonic()) > 0:
        try:
            packet = await asyncio.wait_for(feed.get_instrument_data(), left)
        except asyncio.TimeoutError:
            break
        if not isinstance(packet, dict):
            continue
        key = packet["exchange_segment"], str(packet["security_id"])
        problem = contradiction(packet)
        if problem:
            wrong.append(f"{mode} {key}: {problem}: {packet}")
        if (key, packet["type"]) in wanted:
            wanted.discard((key, packet["type"]))
            print(f"{mode:6} {names[key]:6} {packet}")
    await feed.disconnect()
    if decoder:
        wrong += differences(feed.seen, decoder)
        print(f"{mode:6} {len(feed.seen)} frames compared, {len(wrong)} wrong")
    return wrong + [f"{mode} {names[key]} {key}: no {kind!r} in {deadline:g} s" for key, kind in sorted(wanted)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="address of the feed, such as ws://127.0.0.1:9000")
    parser.add_argument("--index", type=instrument, default="IDX_I:13", help="default IDX_I:13, NIFTY")
    parser.add_argument("--equity", type=instrument, default="NSE_EQ:2885", help="default NSE_EQ:2885, RELIANCE")
    parser.add_argument("--option", type=instrument, required=True, help="an option of today's master")
    parser.add_argument("--decoder", help="a program to compare with, compat's `decode`")
    parser.add_argument("--deadline", type=float, default=10.0, help="seconds for each mode, default 10")
    arguments = parser.parse_args()

    # The client joins this, `?` and its query.
    MarketFeed.market_feed_wss = arguments.url.rstrip("/")
    named = {"index": arguments.index, "equity": arguments.equity, "option": arguments.option}
    problems = []
    for mode in MODES:
        # The client makes an event loop of its own and expects to be run on it.
        problems += asyncio.run(one_mode(mode, named, arguments.deadline, arguments.decoder))
    for problem in problems:
        print(f"FAILED {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
