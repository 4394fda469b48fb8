"""A client that is lighter than any server: `python -m benchmarks.bench_load`, a process of its own.

Reads from standard input what to do, as JSON; writes what came of it. Each connection sends its next
request when the answer to the last is there.
"""

import asyncio
import json
import sys
import time
from math import inf
from typing import Any

END = b"\r\n\r\n"
LENGTH = b"content-length:"
OK = b"HTTP/1.1 200"
PAUSE, PATIENCE = 0.002, 60  # seconds between two questions whether it is ready, and for how long
READY = b"GET /health/ready HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


class Connection(asyncio.Protocol):
    """Sends requests until the time or their number is over."""

    def __init__(self, requests: list[bytes], first: int, until: float, most: float = inf) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.times: list[float] = []
        self._requests, self._at, self._most, self._until = requests, first, most, until
        self._transport: Any = None
        self._answer = bytearray()
        self._whole = 0  # bytes of the answer that is awaited, once known
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        if len(self.times) >= self._most or time.perf_counter() >= self._until:
            self._transport.close()
            self.done.set_result(None)
            return
        self._at += 1
        self._sent = time.perf_counter()
        self._transport.write(self._requests[self._at % len(self._requests)])

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._whole:
            head = self._answer.find(END)
            if head < 0:
                return
            if not self._answer.startswith(OK):
                self.done.set_exception(RuntimeError(bytes(self._answer[:200]).decode("latin-1")))
                self._transport.close()
                return
            begin = self._answer.lower().index(LENGTH, 0, head) + len(LENGTH)
            self._whole = head + len(END) + int(self._answer[begin : self._answer.index(b"\r", begin)])
        if len(self._answer) >= self._whole:
            self.times.append(time.perf_counter() - self._sent)
            self._answer.clear()
            self._whole = 0
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))


def request(path: str, fields: Any) -> bytes:
    """A request that posts JSON."""
    body = json.dumps(fields, ensure_ascii=False).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def until_ready(port: int) -> float:
    """When the service said that it is ready. Raises RuntimeError where it did not in time."""
    until = time.perf_counter() + PATIENCE
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        writer.write(READY)
        head = await reader.readuntil(END)
        now = time.perf_counter()
        if head.startswith(OK):
            writer.close()
            return now
        await reader.readexactly(int(head.lower().split(LENGTH)[1].split(b"\r")[0]))
        await asyncio.sleep(PAUSE)
    raise RuntimeError("the service is not ready")


async def run(port: int, path: str, bodies: list[Any], connections: int, seconds: float, apart: int) -> Any:
    """How many answers a second came; of the first connection the milliseconds of each, and when by
    `time.perf_counter` the service was ready, which is asked before over a connection of its own.

    First come `apart` requests each on a connection of its own; `apart_ms` are the milliseconds of each.
    """
    requests = [request(path, fields) for fields in bodies]
    loop = asyncio.get_running_loop()
    ready = await until_ready(port)
    alone = []
    for k in range(apart):
        _, one = await loop.create_connection(
            lambda k=k: Connection([requests[k % len(requests)]], 0, inf, most=1), "127.0.0.1", port
        )
        await one.done
        alone += one.times
    began = time.perf_counter()
    crew = []
    for k in range(connections):
        first = k * len(requests) // connections
        _, one = await loop.create_connection(
            lambda first=first: Connection(requests, first, began + seconds), "127.0.0.1", port
        )
        crew.append(one)
    await asyncio.gather(*(one.done for one in crew))
    passed = time.perf_counter() - began
    return {
        "rate": sum(len(one.times) for one in crew) / passed,
        "ms": [t * 1e3 for one in crew[:1] for t in one.times],
        "apart_ms": [t * 1e3 for t in alone],
        "ready": ready,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(**json.load(sys.stdin)))))
