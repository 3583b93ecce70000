#!/usr/bin/env python3
"""Points the Python library `websockets` at Strikewire's stream, as a program would use it.

    check_stream.py http://127.0.0.1:8080

Ticks are subscribed, and a chain; its deltas are applied, its numbers must follow each
other, and what comes of it must fit what REST says. So are indicators, which a ping keeps
alive until they are let go. Then the socket is torn off, and another one goes on where it
was. The exit status is 0 when all of that holds.
"""

import argparse
import asyncio
import itertools
import json
import urllib.request

import websockets

SOON = 20


class Chain:
    """What a client makes of the messages of one subscription."""

    def __init__(self):
        self.epoch, self.seq = None, None
        self.chain, self.quotes = {}, {}
        self.snapshots = self.deltas = 0

    def take(self, message):
        if message["type"] == "snapshot":
            self.snapshots += 1
            self.chain, self.quotes = message["chain"], message["quotes"]
            self.epoch = message["epoch"]
        else:
            assert message["epoch"] == self.epoch, "another epoch"
            assert message["seq"] == self.seq + 1, f"a gap: {self.seq}, {message['seq']}"
            self.deltas += 1
            merge(self.chain, message["chain"])
            for token in message["remove"]:
                self.quotes.pop(token, None)
            for token, fields in message["set"].items():
                merge(self.quotes.setdefault(token, {}), fields)
        self.seq = message["seq"]

    def volumes(self):
        return {token: quote.get("volume", 0) for token, quote in self.quotes.items()}


def merge(into, changes):
    for name, value in changes.items():
        if value is None:
            into.pop(name, None)
        else:
            into[name] = value


class Client:
    """A socket and what came of it."""

    def __init__(self, socket):
        self.socket = socket
        self.ids = itertools.count(1)
        self.chains, self.ticks, self.indicators = {}, {}, {}

    async def ask(self, **message):
        message["id"] = next(self.ids)
        await self.socket.send(json.dumps(message))
        return await self.until(lambda got: got.get("id") == message["id"])

    async def until(self, wanted):
        async with asyncio.timeout(SOON):
            while True:
                message = json.loads(await self.socket.recv())
                if message["type"] in ("snapshot", "delta"):
                    self.chains.setdefault(message["sub"], Chain()).take(message)
                for item in message.get("items", []):
                    self.ticks[item["token"]] = item
                if message["type"] == "indicator":
                    self.indicators[message["indicator_id"]] = message
                if wanted(message):
                    return message


def rest(base, path):
    with urllib.request.urlopen(base + path, timeout=SOON) as answer:
        return json.load(answer)


async def indicators(base, client):
    """An index, a number and three of them, from the first value until they are let go."""
    wanted = [
        {"symbol": "NIFTY", "timeframe": "1min", "indicator": name} for name in ("rsi_5", "BB_5_2")
    ]
    ack = await client.ask(
        action="subscribe", channel="indicators", session_id="check", subscriptions=wanted
    )
    ids = [result["indicator_id"] for result in ack["results"]]
    keys = [result["key"] for result in ack["results"]]
    assert ids == ["RSI_5", "BB_5_2"], ack
    assert all(result["is_new"] and result["ref_count"] == 1 for result in ack["results"]), ack

    def known(_=None):
        rsi, bands = (client.indicators.get(name, {}) for name in ids)
        return rsi.get("value") is not None and None not in bands.get("outputs", {"": None}).values()

    if not known():
        await client.until(known)
    rsi, bands = (client.indicators[name] for name in ids)
    assert 0 <= rsi["value"] <= 100 and rsi["mock"] is True, rsi
    bands = bands["outputs"]
    assert bands["lower"] <= bands["middle"] <= bands["upper"], bands

    pong = await client.ask(action="ping", session_id="check", subscriptions=wanted)
    assert [result["alive"] for result in pong["results"]] == [True, True], pong
    pong = await client.ask(action="ping")
    assert len(pong["results"]) == 2, pong
    assert set(keys) <= rest(base, "/api/v2/indicators/active").keys()
    ended = await client.ask(action="unsubscribe", sub=ack["sub"])
    assert ended["type"] == "ack", ended
    assert not set(keys) & rest(base, "/api/v2/indicators/active").keys()


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("base", help="such as http://127.0.0.1:8080")
    base = arguments.parse_args().base.rstrip("/")
    url = base.replace("http", "ws", 1) + "/api/v2/stream"

    async with websockets.connect(url) as socket:
        client = Client(socket)
        ack = await client.ask(
            action="subscribe", channel="ticks",
            instruments=["NIFTY50", "NSE_EQ:2885"], conflate_ms=100,
        )
        assert ack["tokens"] == ["NIFTY", "RELIANCE"], ack
        await client.until(lambda _: {"NIFTY", "RELIANCE"} <= client.ticks.keys())
        assert client.ticks["NIFTY"]["ltp"] > 0

        chain = {"channel": "chain", "symbol": "NIFTY", "width": 11, "conflate_ms": 100}
        ack = await client.ask(action="subscribe", **chain)
        sub = ack["sub"]
        await client.until(
            lambda _: sub in client.chains
            and len(client.chains[sub].quotes) == 22
            and client.chains[sub].deltas >= 20
        )
        known = client.chains[sub]
        assert known.snapshots == 1

        # The market goes on, but volumes only grow: what REST says lies between what the
        # client knew before and what it knows soon after.
        before = known.volumes()
        said = rest(base, "/api/v2/option-chain/NIFTY?width=11")

        def fits(_=None):
            after = known.volumes()
            return all(
                before.get(token, 0) <= quote["volume"] <= after.get(token, -1)
                for token, quote in said["quotes"].items()
                if token in after
            )

        if not fits():
            await client.until(fits)
        overlap = set(known.quotes) & set(said["quotes"])
        assert len(overlap) >= 18, "the windows are not the same"
        await socket.ping()
        pong = await client.ask(action="ping")
        assert pong["type"] == "pong", pong

        await indicators(base, client)

        error = await client.ask(action="subscribe", channel="chain", symbol="NOSUCH")
        assert error["code"] == "unknown_symbol", error
        # Torn off, without a goodbye.
        socket.transport.abort()

    async with websockets.connect(url) as socket:
        client = Client(socket)
        client.chains[1] = known
        ack = await client.ask(action="resume", **chain, epoch=known.epoch, seq=known.seq)
        assert ack["resumed"] is True and ack["sub"] == 1, ack
        deltas = known.deltas
        await client.until(lambda _: known.deltas >= deltas + 10)
        assert known.snapshots == 1
        ack = await client.ask(action="unsubscribe", sub=1)
        assert ack["type"] == "ack", ack

    print(
        f"websockets {websockets.__version__}: {known.deltas} deltas of a chain of "
        f"{len(known.quotes)} legs, up to {known.seq}; ticks, indicators, resume and REST fit"
    )


asyncio.run(main())
