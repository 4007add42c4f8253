"""Commands in, results out, in Avro single-object encoding: by fastavro, nothing of ours."""

import functools
import io
import json
import pathlib

import fastavro
import fastavro.schema

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "schemas"
MARKER = b"\xc3\x01"


@functools.lru_cache(None)
def catalogue():
    return json.loads((SCHEMAS / "catalogue.json").read_text())


@functools.lru_cache(None)
def schema(name):
    """The parsed schema and its header of ten bytes; name as "records/Result"."""
    raw = json.loads((SCHEMAS / f"{name}.avsc").read_text())
    canonical = fastavro.schema.to_parsing_canonical_form(raw)
    digest = fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")
    return fastavro.parse_schema(raw), MARKER + bytes.fromhex(digest)


def encode(name, record):
    parsed, header = schema(name)
    return header + datum(parsed, record)


def datum(parsed, record):
    """The bytes behind the header; parsed: a schema, or its text."""
    if isinstance(parsed, str):
        parsed = fastavro.parse_schema(json.loads(parsed))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed, record, strict_allow_default=True)
    return out.getvalue()


def decode(name, value):
    parsed, header = schema(name)
    if value[:10] != header:
        raise AssertionError(f"not framed as {name}: {value[:10].hex()}, not {header.hex()}")
    rest = io.BytesIO(value[10:])
    record = fastavro.schemaless_reader(rest, parsed, None)
    if rest.read():
        raise AssertionError(f"bytes left behind the {name}")
    return record


def command(operation, params=None, body=None, **fields):
    """A generic command. The body may be a value or, to be sent as it is, a text."""
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
    record = {"command_id": None, "operation": operation, "params": params or {}, "body": body,
              "attachments": [], "method": None, "path": None, "query": {}, "headers": {}}
    record.update(fields)
    return encode("records/Command", record)


def typed(operation, /, **fields):
    """A typed command."""
    return record(f"commands/{record_of(operation)}", **fields)


def record_of(operation):
    return operation_named(operation)["record"].rsplit(".", 1)[1]


def filled(name, /, **fields):
    """The fields given, and of all others the default."""
    parsed, _ = schema(name)
    return {f["name"]: f["default"] for f in parsed["fields"] if "default" in f} | fields


def record(name, /, **fields):
    """A record of that schema: every field that is not given has its default."""
    return encode(name, filled(name, **fields))


def operation_named(name):
    return next(o for o in catalogue()["operations"] if o["name"] == name)
