"""What may be sent as a text, decided in one place for the command line and the service."""

import re

_SURROGATE = re.compile("[\ud800-\udfff]")

# code -> what is wrong and what to do
FAULTS = {
    "not_a_string": "the text is not a string; send the report's words as a JSON string",
    "blank": "the text is empty or blank; send the report's words",
    "too_long": "the text is longer than the limit; send its decisive part or raise the limit",
    "nul": "the text holds a NUL character; remove it",
    "lone_surrogate": "the text holds half a surrogate pair; send whole characters in UTF-8",
}


def fault(text: object, limit: int | None = None) -> str | None:
    """The code of what is wrong with a text, or None; `limit` counts code points."""
    if not isinstance(text, str):
        return "not_a_string"
    if limit is not None and len(text) > limit:
        return "too_long"
    if not text.strip():
        return "blank"
    if "\0" in text:
        return "nul"
    if not text.isascii() and _SURROGATE.search(text):
        return "lone_surrogate"
    return None
