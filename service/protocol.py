"""One connection: HTTP/1.1 by h11, with what uvicorn lacks against clients that are slow, odd or hostile."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.problems import Problem

READ = 16 * 1024  # bytes that are taken from a socket before others have their turn
FREE_CHUNKS, LEAST_CHUNK = 1_000, 64  # chunks that may be of any size; mean bytes of those beyond
LINGER = 1.0  # seconds in which what a refused client still sends is thrown away


class Connection(h11.Connection):
    """HTTP/1.1 that refuses what a proxy in front may read otherwise, and what costs too much.

    A body with two lengths, or with chunks in HTTP/1.0, may end elsewhere for the proxy, which then
    lets a second request through unseen. Each of a great many tiny chunks costs as much as a large one.
    """

    _chunks = _bytes = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """What came next. Raises RemoteProtocolError."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
            names = {name for name, _ in event.headers}
            if b"transfer-encoding" in names and (b"content-length" in names or event.http_version < b"1.1"):
                raise h11.RemoteProtocolError("two lengths of a body")
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > FREE_CHUNKS + self._bytes // LEAST_CHUNK:
                raise h11.RemoteProtocolError("too many small chunks")
        return event


class Protocol(H11Protocol):
    """Refuses what is no HTTP with a problem, and hangs up on who sends or takes too slowly.

    One clock runs while no request is in flight: while a head is awaited or dribbles in, and while a
    body dribbles in that was answered already. A request in flight has its own limit, see
    `service.body`. Another runs while an answer waits for the client to take it, and ends the
    connection where nothing of it was taken.
    """

    read_timeout = 30.0  # seconds
    _clock: asyncio.TimerHandle | None = None
    _write_clock: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # asyncio reads up to 256 KiB at once, and all of that is parsed before anybody else is served.
        transport.max_size = READ  # type: ignore[attr-defined]
        self.conn = Connection(h11.SERVER)
        super().connection_made(transport)
        self._set_clock()

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)
            self._set_clock()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._set_clock()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self._stop_write_clock()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        if self._refused:
            self.transport.close()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, unless an answer is already on its way, and hangs up.

        Not at once: a connection closed on unread bytes is reset, and the client would never see why.
        """
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = Problem("http_malformed", headers={"Connection": "close"}).response()
            head = h11.Response(
                status_code=answer.status_code, headers=answer.raw_headers, reason=b"Bad Request"
            )
            for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:  # what the app may still say goes nowhere
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._refused = True
        self._stop_clock()
        self._clock = self.loop.call_later(LINGER, self.transport.close)
        self.flow.resume_reading()
        if not self.transport.is_closing():
            self.transport.write_eof()

    def _unsupported_upgrade_warning(self) -> None:
        """Says nothing: other protocols may be ignored, and some clients always offer one."""

    def _set_clock(self) -> None:
        if self._refused:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_clock()
        elif self._clock is None and not self.transport.is_closing():
            self._clock = self.loop.call_later(self.read_timeout, self.transport.close)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _watch_writing(self, waiting: int) -> None:
        self._write_clock = self.loop.call_later(self.read_timeout, self._check_writing, waiting)

    def _check_writing(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting < before:
            self._watch_writing(waiting)
        else:
            self.transport.abort()

    def _stop_write_clock(self) -> None:
        if self._write_clock is not None:
            self._write_clock.cancel()
            self._write_clock = None
