"""Reads multipart/form-data by RFC 7578 and 2046, strictly and to the byte; not the connector's
code, and not the sandbox's."""

import collections
import re

# filename and content_type are None for a field; data is bytes.
Part = collections.namedtuple("Part", "name filename content_type data")

TYPE = re.compile(r'multipart/form-data; boundary=([0-9A-Za-z\'()+_,./:=?-]{1,70})\Z')
DISPOSITION = re.compile(r'form-data; name="([^"\r\n]*)"(?:; filename="([^"\r\n]*)")?\Z')


def parts(request):
    """The parts of a request, in their order."""
    match = TYPE.match(request.headers["content-type"])
    if not match:
        raise AssertionError(f"no form: {request.headers['content-type']!r}")
    mark = b"--" + match[1].encode()
    rest, found = request.body, []
    if not rest.startswith(mark + b"\r\n"):
        raise AssertionError(f"it begins with {rest[:100]!r}")
    rest = rest[len(mark) + 2:]
    while True:
        content, seen, rest = rest.partition(b"\r\n" + mark)
        if not seen:
            raise AssertionError("the last part does not end")
        found.append(part(content))
        if rest == b"--\r\n":
            return found
        if not rest.startswith(b"\r\n"):
            raise AssertionError(f"behind a boundary: {rest[:50]!r}")
        rest = rest[2:]


def part(content):
    head, seen, data = content.partition(b"\r\n\r\n")
    headers = {}
    for line in head.decode("utf-8").split("\r\n"):
        name, colon, value = line.partition(": ")
        if not (seen and colon) or name.lower() in headers:
            raise AssertionError(f"the head of a part: {head!r}")
        headers[name.lower()] = value
    if set(headers) - {"content-disposition", "content-type"}:
        raise AssertionError(f"more than expected: {headers}")
    match = DISPOSITION.match(headers["content-disposition"])
    if not match:
        raise AssertionError(f"no disposition of a form: {headers}")
    return Part(match[1], match[2], headers.get("content-type"), data)


def is_form(request):
    return request.headers.get("content-type", "").startswith("multipart/")


def flat(value, name=""):
    """What the fields of a form with this JSON body are: [(name, value)], in order."""
    if isinstance(value, dict):
        return [pair for key, kid in value.items()
                for pair in flat(kid, f"{name}[{key}]" if name else key)]
    if isinstance(value, list):
        return [pair for i, kid in enumerate(value) for pair in flat(kid, f"{name}[{i}]")]
    return [(name, value)]


def same_text(text, value):
    """Is this the text of a scalar?"""
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    if isinstance(value, (int, float)):
        return float(text) == value
    return text == value
