"""The same broadcast as others, by the Python package websockets: `websockets.broadcast`
of each tick. Takes the period in milliseconds, the text of a tick, and the number of clients
to wait for; prints its address."""

import asyncio
import sys

from websockets.asyncio.server import broadcast, serve

BURST = 64


async def main(every: float, tick: str, expected: int) -> None:
    clients = set()

    async def handler(socket) -> None:
        clients.add(socket)
        try:
            await socket.wait_closed()
        finally:
            clients.discard(socket)

    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        host, port = server.sockets[0].getsockname()
        print(f"{host}:{port}", flush=True)
        while len(clients) < expected:
            await asyncio.sleep(0.1)
        while True:
            begun = asyncio.get_running_loop().time()
            for _ in range(BURST):
                broadcast(clients, tick)
            passed = asyncio.get_running_loop().time() - begun
            await asyncio.sleep(max(0.01, every - passed))


asyncio.run(main(float(sys.argv[1]) / 1000, sys.argv[2], int(sys.argv[3])))
