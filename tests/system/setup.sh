#!/usr/bin/env bash
# The virtual environment of the system tests (build/venv), made once per requirements.txt.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=build/venv
if ! cmp -s tests/system/requirements.txt "$venv/ready"; then
    rm -rf "$venv"
    mkdir -p build
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        -r tests/system/requirements.txt
    cp tests/system/requirements.txt "$venv/ready"
fi
