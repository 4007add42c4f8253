"""Avro: parsing canonical form, CRC-64-AVRO, and the .avsc of commands and resources.

Each schema stands alone: no references between files.
"""
import json
import re

from generator.text import load

PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}


def canonical(schema, namespace=""):
    """The parsing canonical form of the Avro specification."""
    if isinstance(schema, str):
        full = schema if schema in PRIMITIVES or "." in schema or not namespace \
            else namespace + "." + schema
        return json.dumps(full)
    if isinstance(schema, list):
        return "[" + ",".join(canonical(s, namespace) for s in schema) + "]"
    kind = schema["type"]
    if kind in PRIMITIVES or not isinstance(kind, str):
        return canonical(kind, namespace)
    if kind == "array":
        return '{"type":"array","items":%s}' % canonical(schema["items"], namespace)
    if kind == "map":
        return '{"type":"map","values":%s}' % canonical(schema["values"], namespace)
    name, namespace = full_name(schema, namespace)
    head = '{"name":%s,"type":"%s"' % (json.dumps(name), kind)
    if kind == "record":
        fields = ",".join('{"name":%s,"type":%s}' % (json.dumps(f["name"]),
                                                     canonical(f["type"], namespace))
                          for f in schema["fields"])
        return head + ',"fields":[' + fields + "]}"
    if kind == "enum":
        return head + ',"symbols":%s}' % json.dumps(schema["symbols"], separators=(",", ":"))
    return head + ',"size":%d}' % schema["size"]


def full_name(schema, namespace=""):
    """(full name, namespace for what is inside)"""
    name = schema["name"]
    if "." in name:
        return name, name.rsplit(".", 1)[0]
    namespace = schema.get("namespace", namespace)
    return (namespace + "." + name if namespace else name), namespace


CRC_EMPTY = 0xC15D213AA4D7A795


def crc_row(i):
    for _ in range(8):
        i = (i >> 1) ^ (CRC_EMPTY if i & 1 else 0)
    return i


CRC_TABLE = [crc_row(i) for i in range(256)]


def fingerprint(schema):
    """CRC-64-AVRO of the parsing canonical form."""
    crc = CRC_EMPTY
    for byte in canonical(schema).encode("utf-8"):
        crc = (crc >> 8) ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


TIMESTAMP = {"type": "long", "logicalType": "timestamp-millis"}
AVRO = {"string": "string", "boolean": "boolean", "long": "long", "double": "double",
        "json": "string", "time": TIMESTAMP, "map": {"type": "map", "values": "string"}}


class AvroRecord:
    """One record that stands alone: named types are written out once, then named."""

    def __init__(self, namespace, attachment):
        self.namespace, self.attachment, self.has_attachment = namespace, attachment, False

    def record(self, name, fields, doc):
        return {"type": "record", "name": name, "namespace": self.namespace,
                **({"doc": doc} if doc else {}), "fields": fields}

    def field(self, parent, f, doc=None):
        kind = self.type_of(parent, f)
        if f.get("array"):
            kind = {"type": "array", "items": kind}
        out = {"name": f["name"], "type": ["null", kind], "default": None}
        if doc:
            out["doc"] = doc
        return out

    def type_of(self, parent, f):
        if f["type"] == "object":
            stem = re.sub(r"s$", "", f["name"]) if f.get("array") else f["name"]
            name = parent + "".join(w[:1].upper() + w[1:] for w in stem.split("_"))
            fields = [self.field(name, x, doc_of(x)) for x in f["fields"]]
            return self.record(name, fields, None)
        if f["type"] == "file":
            seen, self.has_attachment = self.has_attachment, True
            return "front.Attachment" if seen else self.attachment
        return AVRO[f["type"]]


def doc_of(f):
    return "required" if f.get("required") else None


def record_name(operation):
    return "".join(w[:1].upper() + w[1:] for w in operation.split("-"))


def layout(op):
    """Fields of the typed command in Avro order: (place, field)."""
    rows = [("command_id", {"name": "command_id", "type": "string"})]
    for p in op["params"]:
        rows.append(("q" if p["type"] == "map" else p["in"], p))
    rows += [("body", f) for f in op["fields"]]
    if op["list"]:
        rows += [("max_items", {"name": "max_items", "type": "long"}),
                 ("with", {"name": "with", "type": "string", "array": True})]
    return rows + [("set_null", {"name": "set_null", "type": "string", "array": True})]


def command_schema(op, attachment):
    avro = AvroRecord("front.command", attachment)
    name, fields = record_name(op["name"]), []
    for place, f in layout(op):
        if place == "path":
            fields.append({"name": f["name"], "type": "string"})
        elif place == "set_null":
            fields.append({"name": "set_null", "type": {"type": "array", "items": "string"},
                           "default": []})
        else:
            fields.append(avro.field(name, f, doc_of(f)))
    return avro.record(name, fields, "%s %s: %s" % (op["method"], op["path"], op["help"]))


def resource_schema(resource):
    avro = AvroRecord("front.resource", None)
    fields = [avro.field(resource["name"], f) for f in resource["fields"]]
    fields.append({"name": "_parent_id", "type": ["null", "string"], "default": None,
                   "doc": "last path parameter of the list"})
    fields.append({"name": "_raw", "type": "string", "doc": "the item's JSON"})
    return avro.record(resource["name"], fields, "A list item; key: %s." % resource["key"])


def build_schemas(catalogue, home):
    """{file: schema}, own records included (those are written by hand)."""
    files = {}
    for path in sorted((home / "records").glob("*.avsc")):
        files["records/" + path.name] = load(path)
    command = files["records/Command.avsc"]
    attachment = next(f for f in command["fields"] if f["name"] == "attachments")["type"]["items"]
    for op in catalogue["operations"]:
        files["commands/%s.avsc" % record_name(op["name"])] = command_schema(op, attachment)
    for resource in catalogue["resources"]:
        files["resources/%s.avsc" % resource["name"]] = resource_schema(resource)
    return files
