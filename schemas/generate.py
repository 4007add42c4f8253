#!/usr/bin/env python3
"""Front's operations as data, in two steps (python3, standard library only).

  generate.py catalogue OPENAPI_DIR   Front's descriptions + overrides.json -> catalogue.json
  generate.py schemas                 catalogue.json -> commands/*.avsc, resources/*.avsc, the two C
                                      tables and the generated part of README.md
  generate.py check [OPENAPI_DIR]     does both in memory, compares byte for byte; exit 1 names
                                      what is stale

Of Front's files only names, types and structure come over: the one-line helps and the examples
are ours. Everything is written in a fixed order, so the same input gives the same bytes.
"""
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
ENUM_MOST = 24  # longer enums are not carried over


# ---------------------------------------------------------------- JSON text

def pretty(value, indent=0, used=0, width=110):
    """JSON that puts on one line what fits on one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value or len(flat) + indent + used <= width:
        return flat
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        rows = [pad + json.dumps(k) + ": " + pretty(v, indent + 2, len(k) + 4, width)
                for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
    rows = [pad + pretty(v, indent + 2, 0, width) for v in value]
    return "[\n" + ",\n".join(rows) + "\n" + " " * indent + "]"


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- Avro: canonical form, fingerprint

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


# ---------------------------------------------------------------- reading Front's descriptions

class Spec:
    """One OpenAPI file: follows references, merges allOf and oneOf."""

    def __init__(self, doc):
        self.doc = doc

    def at(self, ref):
        node = self.doc
        for part in ref.lstrip("#/").split("/"):
            node = node[part]
        return node

    def follow(self, node):
        """A parameter or response without its reference."""
        return self.at(node["$ref"]) if "$ref" in node else node

    def schema(self, node):
        """A schema without references and allOf at its top; keywords beside a reference count."""
        beside = {k: v for k, v in node.items() if k not in ("$ref", "allOf")}
        parts = ([self.at(node["$ref"])] if "$ref" in node else []) + node.get("allOf", [])
        if not parts:
            return node
        out = {}
        for part in [self.schema(p) for p in parts] + [beside]:
            self.merge(out, part)
        return out

    @staticmethod
    def merge(out, part):
        for key, value in part.items():
            if key == "properties":
                out[key] = {**out.get(key, {}), **value}
            elif key == "required":
                out[key] = out.get(key, []) + [r for r in value if r not in out.get(key, [])]
            else:
                out[key] = value

    def body(self, node):
        """(properties, required) of a body; oneOf of objects: the union of the variants' fields,
        required what every variant requires. A field whose variants differ is any JSON."""
        schema = self.schema(node)
        properties, required = dict(schema.get("properties", {})), list(schema.get("required", []))
        variants = [self.schema(v) for v in schema.get("oneOf", [])]
        for variant in variants:
            for name, prop in variant["properties"].items():
                if name in properties and prop != properties[name]:
                    prop = self.union(properties[name], prop)
                properties[name] = prop
        if variants:
            every = [r for r in variants[0].get("required", [])
                     if all(r in v.get("required", []) for v in variants)]
            required += [r for r in every if r not in required]
        return properties, required

    def union(self, a, b):
        """One property that two variants describe differently."""
        one, two = self.schema(a), self.schema(b)
        if one.get("type") == two.get("type") == "string":
            values = one.get("enum", []) + [v for v in two.get("enum", []) if v not in one.get("enum", [])]
            return {"type": "string", "enum": values} if values else {"type": "string"}
        return {"json": one.get("type", "any"), "oneOf": [a, b]}


def is_time(name, schema):
    return schema.get("type") in ("integer", "number") and name.endswith(("_at", "_since"))


class Fields:
    """Turns properties into the catalogue's fields (contracts: types, times, nested objects)."""

    def __init__(self, spec, overrides, times):
        self.spec, self.overrides, self.times = spec, overrides, times

    def field(self, name, node, required):
        schema = self.spec.schema(node)
        out = {"name": name, "type": ""}
        if schema.get("type") == "array" and "oneOf" not in schema:
            schema = self.spec.schema(schema["items"])
            out["array"] = True
        self.typed(out, name, schema)
        out["required"] = required
        out["json"] = self.json_types(out, schema)
        if out["type"] == "string" and 0 < len(schema.get("enum", [])) <= ENUM_MOST:
            out["values"] = schema["enum"]
        if "fields" in out:
            out["fields"] = out.pop("fields")
        if out["type"] != "file":
            out["example"] = self.example(out)
        return out

    def typed(self, out, name, schema):
        kind = schema.get("type")
        if "oneOf" in schema or "anyOf" in schema:
            out["type"] = "json"
        elif schema.get("format") == "binary":
            out["type"] = "file"
        elif is_time(name, schema) or name in self.times:
            out["type"] = "time"
            out["time"] = self.times.get(name, "seconds" if kind == "integer" else "fraction")
        elif kind in (None, "object") and schema.get("properties"):
            out["type"] = "object"
            out["fields"] = self.all(schema["properties"], schema.get("required", []))
        elif kind == "object":
            out["type"] = "json"
        else:
            out["type"] = {"string": "string", "boolean": "boolean", "integer": "long",
                           "number": "double"}[kind]

    def all(self, properties, required):
        return [self.field(n, p, n in required) for n, p in properties.items()]

    @staticmethod
    def json_types(out, schema):
        if out.get("array"):
            return ["array"]
        if out["type"] in ("object", "json"):
            kind = schema.get("json", "object")
            return [kind]
        if out["type"] == "file":
            return ["array"]  # absent or []
        if out["type"] == "time":
            return ["integer"] if out["time"] == "seconds" else ["integer", "number"]
        return {"string": ["string"], "boolean": ["boolean"], "long": ["integer"],
                "double": ["integer", "number"]}[out["type"]]

    def example(self, out):
        value = self.example_of(out)
        return [value] if out.get("array") and not isinstance(value, list) else value

    def example_of(self, out):
        name, examples = out["name"], self.overrides["examples"]
        if out["type"] == "time":
            return {"seconds": 1700000000, "fraction": 1700000000.5,
                    "millis": 1700000000123}[out["time"]]
        if out["type"] == "object":
            return {f["name"]: f["example"] for f in out["fields"] if "example" in f}
        if out.get("values"):
            return out["values"][0]
        if name in examples and (out["type"] != "boolean"):
            return examples[name]
        if out["type"] == "string":
            prefix = self.overrides["prefixes"].get(re.sub(r"_ids?$", "", name))
            if prefix and re.search(r"_ids?$", name):
                return prefix + "_1z"
            return "Example " + name.replace("_", " ")
        return {"boolean": True, "long": 1, "double": 1.5, "json": {}}[out["type"]]


# ---------------------------------------------------------------- answers

class Shapes:
    """Skeletons of Front's answers: {name: fields}; a field of type "shape" names another one."""

    def __init__(self, overrides):
        self.overrides, self.shapes = overrides, {}

    def name_of(self, schema_name):
        if schema_name in self.overrides["resources"]:
            return self.overrides["resources"][schema_name][0]
        name = re.sub(r"Responses?$", "", schema_name)
        taken = {r[0] for r in self.overrides["resources"].values()}
        return name + "Full" if name in taken else name

    def add(self, spec, node, fallback):
        """The shape's name; known ones are not built twice."""
        name = self.name_of(node["$ref"].rsplit("/", 1)[1]) if "$ref" in node else fallback
        if name not in self.shapes:
            self.shapes[name] = []
            schema = spec.schema(node)
            self.shapes[name] = self.fields(spec, schema)
        return name

    def fields(self, spec, schema):
        required = schema.get("required", [])
        return [self.field(spec, n, p, n in required)
                for n, p in schema.get("properties", {}).items()]

    def field(self, spec, name, node, required):
        out = {"name": name, "type": ""}
        nullable = node.get("nullable")
        if "$ref" not in node and node.get("type") == "array":
            node = node["items"]
            out["array"] = True
        schema = spec.schema(node)
        kind = schema.get("type", "string" if "enum" in schema else None)
        if "oneOf" in schema or "anyOf" in schema:
            out["type"] = "json"
        elif kind in (None, "object") and schema.get("properties"):
            self.nested(spec, out, node, schema)
        elif kind == "object":
            out["type"] = "json"
        elif is_time(name, schema):
            out["type"] = "time"
            out["time"] = "seconds" if kind == "integer" else "fraction"
        else:
            out["type"] = {"integer": "long", "number": "double"}.get(kind, kind)
        if required:
            out["required"] = True
        if nullable or schema.get("nullable"):
            out["nullable"] = True
        if 0 < len(schema.get("enum", [])) <= ENUM_MOST:
            out["values"] = schema["enum"]
        link = link_template(schema.get("example"))
        if link:
            out["link"] = link
        return out

    def nested(self, spec, out, node, schema):
        if "$ref" in node:
            out["type"], out["shape"] = "shape", self.add(spec, node, "")
        else:
            out["type"], out["fields"] = "object", self.fields(spec, schema)


def link_template(example):
    """A link of Front's as a path with the ids' prefixes: /conversations/{cnv}/followers."""
    found = re.match(r"https://[^/]+(/[a-z_/0-9A-Z]+)", example) if isinstance(example, str) else None
    if not found:
        return None
    parts = [re.sub(r"^([a-z]{3})_[0-9a-z]+$", r"{\1}", p) for p in found.group(1).split("/")]
    parts = [re.sub(r"^[0-9a-f]{32,}$", "{uid}", p) for p in parts]
    return "/".join(parts).replace("{jen}", "{tim}")


def answer_of(spec, op, shapes, overrides, name):
    """{kind, shape} of the success answer, and whether a list's answer carries _pagination."""
    codes = sorted(c for c in op["responses"] if c.startswith("2"))
    response = spec.follow(op["responses"][codes[0]])
    content = response.get("content", {})
    if not content:
        return {"kind": "none"}, codes
    if "application/json" not in content:
        return {"kind": "binary"}, codes
    node = content["application/json"]["schema"]
    schema = spec.schema(node)
    if "_results" in schema.get("properties", {}):
        item = schema["properties"]["_results"]["items"]
        if name in overrides["corrections"]["items"]:
            item = {"$ref": "#/components/schemas/" + overrides["corrections"]["items"][name]}
        answer = {"kind": "list", "shape": shapes.add(spec, item, "")}
        if "_pagination" in schema["properties"] or name in overrides["corrections"]["pagination"]:
            answer["pagination"] = True
        if "_total" in schema["properties"]:
            answer["total"] = True
        return answer, codes
    ref = op["responses"][codes[0]].get("$ref", name).rsplit("/", 1)[-1]
    kind = "accepted" if "status" in schema.get("properties", {}) and \
        schema["properties"]["status"].get("default") == "accepted" else "object"
    return {"kind": kind, "shape": shapes.add(spec, node, ref[0].upper() + ref[1:])}, codes


# ---------------------------------------------------------------- the catalogue

def record_name(operation):
    return "".join(w[:1].upper() + w[1:] for w in operation.split("-"))


def build_catalogue(openapi_dir, overrides):
    shapes, operations = Shapes(overrides), []
    for source in overrides["sources"]:
        spec = Spec(load(pathlib.Path(openapi_dir) / source["file"]))
        for path, methods in spec.doc["paths"].items():
            for method, op in methods.items():
                name = source.get("rename", {}).get(op["operationId"], op["operationId"])
                operations.append(build_operation(spec, path, method.upper(), op, name,
                                                  source["auth"], shapes, overrides))
    operations.sort(key=lambda o: o["name"])
    resources = build_resources(operations, shapes, overrides)
    topics = build_topics(operations, overrides)
    return {
        "about": "Generated by generate.py from Front's published descriptions and overrides.json.",
        "operations": operations,
        "aliases": overrides["aliases"],
        "titles": overrides["titles"],
        "resources": resources,
        "topics": topics,
        "shapes": dict(sorted(shapes.shapes.items())),
        "prefixes": overrides["prefixes"],
    }


def build_operation(spec, path, method, op, name, auth, shapes, overrides):
    fix = overrides["corrections"]
    answer, codes = answer_of(spec, op, shapes, overrides, name)
    params = build_params(spec, path, op, overrides, name)
    body = build_body(spec, op, overrides, name)
    paged = any(p["name"] == "page_token" for p in params)
    is_list = answer["kind"] == "list"
    out = {"name": name, "method": method, "path": path, "help": "", "titles": []}
    out["titles"] = [t for t, names in overrides["titles"].items() if name in names]
    out["class"] = class_of(name, method, overrides)
    out["guard"], out["guard_param"] = guard_of(name, overrides)
    out["auth"] = auth
    out["record"] = "front.command." + record_name(name)
    out["params"] = params
    out.update(body)
    out["list"], out["paged"] = is_list, paged
    out["page_max"] = fix["page_max"].get(name, 100) if paged else 0
    out["resource"] = topic_of(answer, name, overrides) if is_list else None
    out["merged_301"] = "301" in op["responses"]
    out["binary"] = answer["kind"] == "binary"
    out["statuses"] = fix["statuses"].get(name, ",".join(codes))
    out["scopes"] = op.get("x-required-scopes", [])
    out["probe"] = probe_of(name, out["class"], overrides)
    out["repeat_ok_status"] = repeat_ok_of(name, method, overrides)
    out["deprecated"] = bool(op.get("deprecated"))
    out["answer"] = answer
    out["help"] = overrides["help"].get(name) or help_of(out, overrides)
    return out


def build_params(spec, path, op, overrides, name):
    """Path parameters in the path's order, then the query's in the description's."""
    builder = Fields(spec, overrides, overrides["time"].get(name, {}))
    found = {}
    for node in op.get("parameters", []):
        component = node.get("$ref", "").rsplit("/", 1)[-1]
        node = spec.follow(node)
        param = {"name": node["name"], "in": node["in"]}
        if node["name"] == "q":
            param.update(type="map", required=False, example=overrides["q"][component])
        else:
            field = builder.field(node["name"], node["schema"], bool(node.get("required")))
            param.update({k: v for k, v in field.items() if k not in ("name", "json")})
            if component in overrides["sort_by"]:
                param["example"] = overrides["sort_by"][component]
        found[node["name"]] = param
    in_path = re.findall(r"{(\w+)}", path)
    return [found[n] for n in in_path] + [p for n, p in found.items() if n not in in_path]


def build_body(spec, op, overrides, name):
    fix = overrides["corrections"]
    content = op.get("requestBody", {}).get("content", {})
    node = next((c["schema"] for c in content.values()), None)
    if name in fix["body"]:
        node = {"$ref": "#/components/schemas/" + fix["body"][name]}
    fields = []
    if node is not None:
        properties, required = spec.body(node)
        one_of = fix["one_of"].get(name, [])
        fields = Fields(spec, overrides, overrides["time"].get(name, {})).all(
            properties, [r for r in required if r not in one_of])
    file_field, file_required = file_of(fields)
    return {"body": node is not None, "body_required": any(f["required"] for f in fields),
            "fields": fields, "one_of": fix["one_of"].get(name), "file_field": file_field,
            "file_required": file_required,
            "multipart_only": bool(content) and "application/json" not in content}


def file_of(fields):
    """The one file field of a body, nested ones as parent[child]."""
    for f in fields:
        if f["type"] == "file":
            return f["name"], f["required"]
        inner, required = file_of(f.get("fields", []))
        if inner:
            return "%s[%s]" % (f["name"], inner), f["required"] and required
    return None, False


def class_of(name, method, overrides):
    if method in overrides["class_by_method"]:
        return overrides["class_by_method"][method]
    for klass in "ABD":
        if name in overrides["class_of_post"][klass]:
            return klass
    return "C"


def guard_of(name, overrides):
    for guard, names in overrides["guards"].items():
        if name in names:
            return guard, names[name]
    return None, None


def probe_of(name, klass, overrides):
    if klass != "C":
        return None
    kind, operation, *via = overrides["probes"][name]
    row = overrides["probe_kinds"][kind]
    return {"list": operation, "via": via[0] if via else None, "query": row.get("query"),
            "time": row.get("time"), "author": row.get("author"), "text": row.get("text"),
            "body_text": row.get("body_text"), "absence_proves": row.get("absence_proves", False)}


def repeat_ok_of(name, method, overrides):
    if name in overrides["repeat_ok"]["membership_operations"]:
        return overrides["repeat_ok"]["membership"]
    return overrides["repeat_ok"].get(method)


def topic_of(answer, name, overrides):
    if name in overrides["corrections"]["topic"]:
        return overrides["corrections"]["topic"][name]
    return next(topic for record, topic in overrides["resources"].values()
                if record == answer["shape"])


# ---------------------------------------------------------------- help lines

def a(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def help_of(op, overrides):
    """"Lists the conversations of an inbox.", from method and path."""
    path, tail = op["path"].strip("/"), ""
    if "/locales/{locale}" in path:
        path, tail = path.replace("/locales/{locale}", ""), " in a given locale"
    elif "default-locale" in op["name"]:
        tail = " in the default locale"
    content = path.endswith("/content")
    parts = [p for p in path.removesuffix("/content").split("/") if p != "company"]
    of_one = parts[-1].startswith("{")
    words = [p for p in parts if not p.startswith("{")]
    noun, many = overrides["nouns"][words[-1]], words[-1].replace("_", " ")
    many = {"children": "child tags", "mentions": "mentioned teammates",
            "statuses": "ticket statuses"}.get(many, many)
    owner = a(overrides["nouns"][words[-2]]) if len(words) > 1 else ""
    many_or_one = a(noun) if words[-1] == "handles" else many
    inside = " for " if owner == "a teammate" else " in "
    if op["list"] and words[-1] == "custom_fields" and owner:
        return "Lists the custom fields of %s." % words[-2]
    if op["list"]:
        return "Lists the %s%s." % (many, " of " + owner if owner else "")
    if op["method"] == "GET":
        return "Gets %s%s%s." % (a(noun), " with its content" if content else "", tail)
    if op["method"] in ("PATCH", "PUT"):
        return "Updates %s%s." % ("the content of " + a(noun) if content else a(noun), tail)
    if op["method"] == "DELETE":
        return "Deletes %s." % a(noun) if of_one else "Removes %s from %s." % (many_or_one, owner)
    if op["class"] == "A":
        return "Adds %s to %s." % (many_or_one, owner)
    where = inside + owner if owner else ""
    return ("Adds %s to %s." % (a(noun), owner) if op["name"].startswith("add-")
            else "Creates %s%s%s." % (a(noun), where, tail))


# ---------------------------------------------------------------- resources

def build_resources(operations, shapes, overrides):
    """The records of list items: all fields nullable, embedded resources as ids."""
    out = []
    for record, _topic in sorted(overrides["resources"].values()):
        if record == "Event":
            continue  # front.Event, one of our own records
        fields = resource_fields(shapes.shapes[record], shapes, overrides, record)
        out.append({"name": record, "key": overrides["keys"].get(record, "id"), "fields": fields})
    return out


def resource_fields(shape, shapes, overrides, record):
    fields, links = [], []
    for f in shape:
        if f["name"] == "_links":
            links += related_ids(f, overrides)
        else:
            fields.append(resource_field(f, shapes, overrides))
    names = {f["name"] for f in fields}
    return fields + [f for f in links if f["name"] not in names]


def related_ids(links, overrides):
    related = next((f["fields"] for f in links["fields"] if f["name"] == "related"), [])
    return [{"name": f["name"] + "_id", "type": "string", "from": "_links.related." + f["name"]}
            for f in related if f["name"] in overrides["links_to_one"]]


def resource_field(f, shapes, overrides):
    records = {record for record, _topic in overrides["resources"].values()}
    inner = shapes.shapes[f["shape"]] if f["type"] == "shape" else f.get("fields")
    if f.get("shape") in records:
        single = re.sub(r"s$", "", f["name"]) if f.get("array") else f["name"]
        name = single + ("_ids" if f.get("array") else "_id")
        out = {"name": name, "type": "string", "from": f["name"] + ("[].id" if f.get("array") else ".id")}
        if f.get("array"):
            out["array"] = True
        return out
    out = {"name": f["name"], "type": "object" if inner is not None else f["type"],
           "from": f["name"]}
    for key in ("array", "time"):
        if key in f:
            out[key] = f[key]
    if inner is not None:
        out["fields"] = resource_fields(inner, shapes, overrides, f["name"])
    return out


def build_topics(operations, overrides):
    records = {topic: record for record, topic in overrides["resources"].values()}
    records["drafts"] = "Message"
    topics = {}
    for op in operations:
        if op["resource"]:
            record = records[op["resource"]]
            full = "front.Event" if record == "Event" else "front.resource." + record
            row = topics.setdefault(op["resource"], {"record": full, "lists": []})
            row["lists"].append(op["name"])
    return dict(sorted(topics.items()))


# ---------------------------------------------------------------- .avsc

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


def build_schemas(catalogue):
    """{file: schema}, own records included (those are written by hand)."""
    files = {}
    for path in sorted((HERE / "records").glob("*.avsc")):
        files["records/" + path.name] = load(path)
    command = files["records/Command.avsc"]
    attachment = next(f for f in command["fields"] if f["name"] == "attachments")["type"]["items"]
    for op in catalogue["operations"]:
        files["commands/%s.avsc" % record_name(op["name"])] = command_schema(op, attachment)
    for resource in catalogue["resources"]:
        files["resources/%s.avsc" % resource["name"]] = resource_schema(resource)
    return files


# ---------------------------------------------------------------- C tables

def c_text(text):
    if text is None:
        return "NULL"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def c_bool(value):
    return "true" if value else "false"


GENERATED = "/* Generated by schemas/generate.py from %s. Do not edit. */\n/* clang-format off */\n"
PLACES = {"command_id": "PLACE_COMMAND_ID", "path": "PLACE_PATH", "query": "PLACE_QUERY",
          "q": "PLACE_Q", "body": "PLACE_BODY", "max_items": "PLACE_MAX_ITEMS",
          "with": "PLACE_WITH", "set_null": "PLACE_SET_NULL", "nested": "PLACE_NESTED"}
TIMES = {None: "TIME_NONE", "seconds": "TIME_SECONDS", "fraction": "TIME_FRACTION",
         "millis": "TIME_MILLIS"}


def c_shape(place, f, inner):
    parts = [".name = " + c_text(f["name"]), ".type = SHAPE_" + f["type"].upper()]
    if f.get("array"):
        parts.append(".array = true")
    if f.get("time"):
        parts.append(".time = " + TIMES[f["time"]])
    parts.append(".place = " + PLACES[place])
    if f.get("required"):
        parts.append(".required = true")
    if "json" in f:
        parts.append(".json_types = " + " | ".join("JSON_IS_" + t.upper() for t in f["json"]))
    if inner:
        parts.append(".fields = %s, .n_fields = %d" % (inner, len(f["fields"])))
    return "    {" + ", ".join(parts) + "},"


def c_shapes(symbol, rows, out):
    """Writes the array of `rows` behind those of its nested objects."""
    lines = []
    for place, f in rows:
        inner = None
        if f["type"] == "object":
            inner = "%s_%s" % (symbol, f["name"])
            c_shapes(inner, [("nested", x) for x in f["fields"]], out)
        lines.append(c_shape(place, f, inner))
    out.append("static const struct shape %s[] = {\n%s\n};\n" % (symbol, "\n".join(lines)))


def c_symbol(op):
    return "f_" + op["name"].replace("-", "_")


def c_probe(probe):
    if not probe:
        return None
    parts = [".%s = %s" % (k, c_text(probe[k])) for k in
             ("list", "via", "query", "time", "author", "text", "body_text") if probe[k]]
    if probe["absence_proves"]:
        parts.append(".absence_proves = true")
    return "{" + ", ".join(parts) + "}"


def c_operation(op, index):
    rows = [("name", c_text(op["name"])), ("help", c_text(op["help"])),
            ("titles", c_text("|".join(op["titles"]) or None)), ("method", "HTTP_" + op["method"]),
            ("path", c_text(op["path"])), ("klass", "CLASS_" + op["class"]),
            ("guard", "GUARD_" + (op["guard"] or "none").upper()),
            ("guard_param", c_text(op["guard_param"])), ("auth", "AUTH_" + op["auth"].upper()),
            ("record", "&typed_records[%d]" % index),
            ("has_body", c_bool(op["body"])), ("body_required", c_bool(op["body_required"])),
            ("one_of", c_text("|".join(op["one_of"]) if op["one_of"] else None)),
            ("file_field", c_text(op["file_field"])), ("file_required", c_bool(op["file_required"])),
            ("multipart_only", c_bool(op["multipart_only"])), ("list", c_bool(op["list"])),
            ("paged", c_bool(op["paged"])), ("page_max", str(op["page_max"])),
            ("resource", c_text(op["resource"])), ("merged_301", c_bool(op["merged_301"])),
            ("binary", c_bool(op["binary"])), ("repeat_ok_status", c_text(op["repeat_ok_status"])),
            ("scopes", c_text(",".join(op["scopes"]) or None)), ("statuses", c_text(op["statuses"])),
            ("probe", c_probe(op["probe"])), ("deprecated", c_bool(op["deprecated"]))]
    kept = [".%s = %s" % (k, v) for k, v in rows if v not in (None, "NULL", "false", "0")]
    lines, line = [], "    {"
    for i, part in enumerate(kept):
        piece = part + ("," if i + 1 < len(kept) else "},")
        if len(line) + len(piece) > 96 and line.strip() != "{":
            lines.append(line.rstrip())
            line = "     "
        line += piece + " "
    return "\n".join(lines + [line.rstrip()])


def c_pairs(symbol, pairs):
    rows = "\n".join("    {%s, %s}," % (c_text(k), c_text(v)) for k, v in pairs)
    return ("const struct op_alias %s[] = {\n%s\n};\n"
            "const size_t %s_n = sizeof(%s) / sizeof(%s[0]);\n"
            % (symbol, rows, symbol, symbol, symbol))


def catalogue_table(catalogue):
    out = [GENERATED % "schemas/catalogue.json" + '#include "front/catalogue.h"\n']
    operations = catalogue["operations"]
    for op in operations:
        c_shapes(c_symbol(op), layout(op), out)
    rows = ["    {.full_name = %s, .operation = %s, .fields = %s, .n_fields = %d},"
            % (c_text(op["record"]), c_text(op["name"]), c_symbol(op), len(layout(op)))
            for op in operations]
    out.append("static const struct typed_record typed_records[] = {\n%s\n};\n" % "\n".join(rows))
    by_name = sorted(range(len(operations)), key=lambda i: operations[i]["record"])
    rows = ["    &typed_records[%d]," % i for i in by_name]
    out.append("const struct typed_record *const catalogue_records[] = {\n%s\n};\n"
               "const size_t catalogue_records_n = sizeof(catalogue_records) / sizeof(catalogue_records[0]);\n"
               % "\n".join(rows))
    rows = [c_operation(op, i) for i, op in enumerate(operations)]
    out.append("const struct op catalogue_table[] = {\n%s\n};\n"
               "const size_t catalogue_table_n = sizeof(catalogue_table) / sizeof(catalogue_table[0]);\n"
               % "\n".join(rows))
    out.append(c_pairs("catalogue_aliases", sorted(catalogue["aliases"].items())))
    titles = [(t, n) for t, names in sorted(catalogue["titles"].items()) for n in names]
    out.append(c_pairs("catalogue_titles", titles))
    return "\n".join(out)


def schemas_table(texts):
    out = [GENERATED % "schemas/" + '#include "codec/schemas.h"\n']
    rows, parts = [], []
    for file, text in sorted(texts.items(), key=lambda kv: full_name(json.loads(kv[1]))[0]):
        schema = json.loads(text)
        symbol = "s_" + re.sub(r"\W", "_", file.removesuffix(".avsc"))
        lines = "\n".join("    " + c_text(line) for line in text.splitlines(keepends=True))
        parts.append("static const char %s[] =\n%s;\n" % (symbol, lines))
        rows.append("    {.full_name = %s, .file = %s,\n     .text = %s, .text_len = sizeof(%s) - 1, "
                    ".fingerprint = 0x%016xULL}," % (c_text(full_name(schema)[0]), c_text(file),
                                                     symbol, symbol, fingerprint(schema)))
    out += parts
    out.append("/* sorted by full name */\nconst struct schema_row schemas_table[] = {\n%s\n};\n"
               "const size_t schemas_table_n = sizeof(schemas_table) / sizeof(schemas_table[0]);\n"
               % "\n".join(rows))
    return "\n".join(out)


# ---------------------------------------------------------------- README

BEGIN, END = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"


def readme_section(catalogue):
    out = ["## Topics of list items\n", "| topic | record | key | fed by |", "|---|---|---|---|"]
    keys = {"front.resource." + r["name"]: r["key"] for r in catalogue["resources"]}
    for topic, row in catalogue["topics"].items():
        key = keys.get(row["record"], "conversation id, else id")
        out.append("| `front.%s` | `%s` | %s | %s |" % (topic, row["record"],
                                                       key.replace("<", "\\<"), ", ".join(row["lists"])))
    out += ["", "## All %d operations\n" % len(catalogue["operations"]),
            "| operation | method and path | class | guard | files | feeds |", "|---|---|---|---|---|---|"]
    for op in catalogue["operations"]:
        out.append("| %s | %s `%s` | %s | %s | %s | %s |" % (
            op["name"] + (" (deprecated)" if op["deprecated"] else ""), op["method"], op["path"],
            op["class"], op["guard"] or "", "`%s`" % op["file_field"] if op["file_field"] else "",
            "`front.%s`" % op["resource"] if op["resource"] else ""))
    out += ["", "Aliases: " + ", ".join("`%s` = %s" % kv for kv in sorted(catalogue["aliases"].items()))
            + ".\n"]
    return "\n".join(out)


def readme(catalogue, text):
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    return head + BEGIN + readme_section(catalogue) + END + tail


# ---------------------------------------------------------------- commands

def outputs(catalogue):
    """{path: text} of everything `schemas` writes."""
    out, texts = {}, {}
    for file, schema in build_schemas(catalogue).items():
        if file.startswith("records/"):
            texts[file] = (HERE / file).read_text(encoding="utf-8")
        else:
            texts[file] = out[HERE / file] = pretty(schema, width=100) + "\n"
    out[ROOT / "connector/front/catalogue_table.c"] = catalogue_table(catalogue)
    out[ROOT / "connector/codec/schemas_table.c"] = schemas_table(texts)
    out[HERE / "README.md"] = readme(catalogue, (HERE / "README.md").read_text(encoding="utf-8"))
    return out


def strays(out):
    """Generated files whose operation or resource is gone."""
    on_disk = [p for d in ("commands", "resources") for p in (HERE / d).glob("*.avsc")]
    return sorted(p for p in on_disk if p not in out)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def catalogue_text(openapi_dir):
    return pretty(build_catalogue(openapi_dir, load(HERE / "overrides.json"))) + "\n"


def stale_files(openapi_dir=None):
    want = outputs(load(HERE / "catalogue.json"))
    if openapi_dir:
        want[HERE / "catalogue.json"] = catalogue_text(openapi_dir)
    stale = [p for p, text in want.items()
             if not p.exists() or p.read_text(encoding="utf-8") != text]
    return [str(p.relative_to(ROOT)) for p in sorted(stale + strays(want))]


def main(argv):
    if len(argv) == 2 and argv[0] == "catalogue":
        write(HERE / "catalogue.json", catalogue_text(argv[1]))
    elif argv == ["schemas"]:
        out = outputs(load(HERE / "catalogue.json"))
        for path in strays(out):
            path.unlink()
        for path, text in out.items():
            write(path, text)
    elif argv[:1] == ["check"] and len(argv) <= 2:
        stale = stale_files(*argv[1:])
        for path in stale:
            print("stale: " + path)
        return 1 if stale else 0
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
