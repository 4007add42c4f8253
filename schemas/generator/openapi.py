"""Front's OpenAPI files as the catalogue's fields and answer shapes.

Only names, types and structure come over; examples are ours (overrides.json).
"""
import re

ENUM_MOST = 24  # longer enums are not carried over


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
            values = list(dict.fromkeys(one.get("enum", []) + two.get("enum", [])))
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
            out["fields"] = out.pop("fields")  # behind the scalars, for reading
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
            return [schema.get("json", "object")]
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
    if not isinstance(example, str):
        return None
    found = re.match(r"https://[^/]+(/[a-z_/0-9A-Z]+)", example)
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
