"""Read the body of a request, within its limits of kind, size and time."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request

from service.problems import Problem
from service.settings import Settings

# A client that sends too much is read this many limits further before it is cut off: a connection
# closed on unread bytes is reset, and the client would never see why.
PATIENCE = 4


async def read(request: Request, settings: Settings) -> bytes:
    """The whole body. Raises Problem for what is no plain JSON, too large or too slow.

    Bytes are counted as they arrive; Content-Length is believed only where it already says too much
    and the client waits for our word (Expect: 100-continue) before it sends.
    """
    headers = request.headers
    _check_type(headers.get("content-type", ""))
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Problem("content_encoding_unsupported", headers={"Accept-Encoding": "identity"})
    limit = settings.body_limit
    too_large = Problem("body_too_large", headers={"Connection": "close"}, limit=limit)
    declared = headers.get("content-length", "")
    if "expect" in headers and declared.isdecimal() and int(declared) > limit:
        raise too_large
    try:
        async with asyncio.timeout(settings.read_timeout):
            body = await _gather(request.stream(), limit)
    except TimeoutError:
        close = {"Connection": "close"}
        seconds = f"{settings.read_timeout:g}"
        raise Problem("body_timeout", headers=close, seconds=seconds) from None
    if body is None:
        raise too_large
    return body


async def _gather(stream: AsyncIterator[bytes], limit: int) -> bytes | None:
    """The bytes of the stream; None where there are more than `limit`, of which none is kept."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > PATIENCE * limit:
            break
        if size <= limit:
            chunks.append(chunk)
        else:
            chunks.clear()
    return None if size > limit else b"".join(chunks)


def _check_type(content_type: str) -> None:
    kind, _, parameters = content_type.lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    if kind.strip() != "application/json" or charset not in ("", "charset=utf-8", "charset=utf8"):
        raise Problem("content_type_unsupported", headers={"Accept": "application/json"})
