"""May a schema follow another one? BACKWARD as registries mean it: the new schema must read what
was written with the old one, by Avro's rules of resolution. And one rule more: a logical type
stays, since both sides would read the same number and mean another thing.

Standard library only, like the rest of the generator."""

PROMOTIONS = {"int": {"long", "float", "double"}, "long": {"float", "double"},
              "float": {"double"}, "string": {"bytes"}, "bytes": {"string"}}
NAMED = "record", "enum", "fixed"


def problems(writer, reader):
    """Why `reader` cannot read what `writer` wrote: a list of texts, empty when it can."""
    found = []
    walk(Side(writer), Side(reader), name_of(reader), found, set())
    return found


class Side:
    """A schema, what its names mean, and the namespace it stands in."""

    def __init__(self, schema, names=None, namespace=""):
        self.names = {} if names is None else names
        self.namespace = namespace
        if isinstance(schema, str) and self.full(schema) in self.names:
            schema, self.namespace = self.names[self.full(schema)]
        self.schema = {"type": schema} if isinstance(schema, str) else schema
        if isinstance(self.schema, dict) and isinstance(self.schema["type"], (dict, list)):
            inner = Side(self.schema["type"], self.names, self.namespace)
            self.schema, self.namespace = inner.schema, inner.namespace
        if self.kind in NAMED:
            self.learn()

    def learn(self):
        name = self.schema["name"]
        if "namespace" in self.schema and "." not in name:
            name = f"{self.schema['namespace']}.{name}"
        self.name = self.full(name)
        self.namespace = self.name.rpartition(".")[0]
        self.names.setdefault(self.name, (self.schema, self.namespace))

    def full(self, name):
        return name if "." in name or not self.namespace else f"{self.namespace}.{name}"

    @property
    def kind(self):
        return "union" if isinstance(self.schema, list) else self.schema["type"]

    def inner(self, schema):
        return Side(schema, self.names, self.namespace)

    def branches(self):
        return [self.inner(b) for b in self.schema] if self.kind == "union" else [self]

    def logical(self):
        return None if self.kind == "union" else self.schema.get("logicalType")

    def is_called(self, name):
        aliases = {self.full(a) for a in self.schema.get("aliases", [])}
        return name == self.name or name in aliases


def name_of(schema):
    return schema.get("name", "?") if isinstance(schema, dict) else str(schema)


def walk(writer, reader, where, found, seen):
    """Adds to `found` what is wrong at `where`."""
    if writer.kind == "union":
        for branch in writer.branches():
            walk(branch, reader, where, found, seen)
    elif reader.kind == "union":
        if not any(can_read(writer, branch, seen) for branch in reader.branches()):
            found.append(f"{where}: no branch reads {describe(writer)}")
    elif not same_kind(writer, reader):
        found.append(f"{where}: {describe(writer)} became {describe(reader)}")
    elif writer.logical() != reader.logical():
        found.append(f"{where}: logical type {writer.logical()} became {reader.logical()}")
    elif reader.kind in NAMED:
        walk_named(writer, reader, where, found, seen)
    elif reader.kind == "array":
        walk(writer.inner(writer.schema["items"]), reader.inner(reader.schema["items"]),
             f"{where}[]", found, seen)
    elif reader.kind == "map":
        walk(writer.inner(writer.schema["values"]), reader.inner(reader.schema["values"]),
             f"{where}{{}}", found, seen)


def same_kind(writer, reader):
    return writer.kind == reader.kind or reader.kind in PROMOTIONS.get(writer.kind, ())


def can_read(writer, reader, seen):
    found = []
    walk(writer, reader, "", found, set(seen))
    return not found


def describe(side):
    return f"{side.kind} {side.name}" if side.kind in NAMED else side.kind


def walk_named(writer, reader, where, found, seen):
    if not reader.is_called(writer.name):
        found.append(f"{where}: {writer.name} is called {reader.name} now")
    elif reader.kind == "enum":
        lost = [s for s in writer.schema["symbols"] if s not in reader.schema["symbols"]]
        if lost and "default" not in reader.schema:
            found.append(f"{where}: symbols {', '.join(lost)} are gone")
    elif reader.kind == "fixed":
        if writer.schema["size"] != reader.schema["size"]:
            found.append(f"{where}: has another size")
    elif (writer.name, reader.name) not in seen:
        seen.add((writer.name, reader.name))
        walk_fields(writer, reader, where, found, seen)


def walk_fields(writer, reader, where, found, seen):
    written = {f["name"]: f for f in writer.schema["fields"]}
    for field in reader.schema["fields"]:
        names = [field["name"], *field.get("aliases", [])]
        old = next((written[n] for n in names if n in written), None)
        place = f"{where}.{field['name']}"
        if old is not None:
            walk(writer.inner(old["type"]), reader.inner(field["type"]), place, found, seen)
        elif "default" not in field:
            found.append(f"{place}: is new and has no default")
