#!/usr/bin/env python3
"""Front's operations as data, in two steps (python3, standard library only).

  generate.py catalogue OPENAPI_DIR   Front's descriptions + overrides.json -> catalogue.json
  generate.py schemas                 catalogue.json -> commands/*.avsc, resources/*.avsc, the two C
                                      tables and the generated part of README.md
  generate.py check [OPENAPI_DIR]     does both in memory, compares byte for byte; exit 1 names
                                      what is stale, and what may not follow what was released
  generate.py release                 copies all schemas into released/: with each release

Everything is written in a fixed order, so the same input gives the same bytes.
"""
import json
import pathlib
import shutil
import sys

from generator.avro import build_schemas
from generator.catalogue import build_catalogue
from generator.evolution import problems
from generator.tables import catalogue_table, readme, schemas_table
from generator.text import load, pretty

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent


def outputs(catalogue):
    """{path: text} of everything `schemas` writes."""
    out, texts = {}, {}
    for file, schema in build_schemas(catalogue, HERE).items():
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


def broken_promises():
    """Every schema must read what was written with its released form (BACKWARD), and none may
    be gone: somebody's registry has them."""
    found = []
    released = sorted((HERE / "released").glob("*/*.avsc"))
    for old in released:
        file = old.relative_to(HERE / "released")
        if not (HERE / file).exists():
            found.append(f"{file}: was released and is gone")
            continue
        found += [f"{file}: {why}" for why in problems(
            json.loads(old.read_text(encoding="utf-8")),
            json.loads((HERE / file).read_text(encoding="utf-8")))]
    return found if released else ["released/ has no schemas"]


def release():
    shutil.rmtree(HERE / "released", ignore_errors=True)
    for file in sorted(HERE.glob("*/*.avsc")):
        write(HERE / "released" / file.relative_to(HERE), file.read_text(encoding="utf-8"))


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
        stale, broken = stale_files(*argv[1:]), broken_promises()
        for path in stale:
            print("stale: " + path)
        for text in broken:
            print("not compatible: " + text)
        return 1 if stale or broken else 0
    elif argv == ["release"]:
        release()
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
