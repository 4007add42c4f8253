"""JSON as text: read, and written so that what fits on one line stands on one line."""
import json


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
