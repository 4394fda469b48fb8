"""Strict JSON: what is read of a body, after the cost of reading it was bounded.

The parser holds the interpreter to its end, whichever thread it runs in, so a body of eight megabytes
of `[[[[` or `[],[],` or digits would keep every other request waiting for seconds. Our bodies are flat
and nearly all string; so what stands outside strings is counted first, which takes milliseconds.
"""

import json
from typing import Any, NoReturn

from service.problems import Problem

MOST_BRACKETS = 64  # a good body has two
MOST_LITERALS = 16 * 1024  # bytes of numbers, names and stray signs; a good body has hardly any


def read(body: bytes, most: int) -> Any:
    """The value of a body of at most so many strings. Raises Problem for what is no strict JSON in UTF-8."""
    _bound(body, most)
    try:
        return _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise Problem("body_not_utf8", at=error.start) from None
    except json.JSONDecodeError as error:
        raise Problem("body_not_json", where=f"near character {error.pos}") from None
    except ValueError:
        raise Problem("body_not_json", where="a number that cannot be read") from None


def _bound(body: bytes, most: int) -> None:
    # Without escaped backslashes and then escaped quotes, every other piece between quotes is a string.
    # A backslash elsewhere can only mislead this after the place at which the parser gives up.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 2 * most:
        raise Problem("body_too_complex", limit=most)
    outside = b"".join(plain.split(b'"')[::2])
    if outside.count(b"[") + outside.count(b"{") > MOST_BRACKETS:
        raise Problem("body_too_deep")
    if outside.count(b",") > most or len(outside.translate(None, b" \t\r\n,:[]{}")) > MOST_LITERALS:
        raise Problem("body_too_complex", limit=most)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise Problem("key_doubled")
    return fields


def _no_constant(_: str) -> NoReturn:
    raise Problem("body_not_json", where="NaN or Infinity")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
