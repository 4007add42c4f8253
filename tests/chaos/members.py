"""A static member that dies and comes back: how long until its first new result, and what the
other member sees of it.

    build/venv/bin/python tests/chaos/members.py [TIMES]

"New" is a result of a command that was produced after the kill, in a partition of the killed
instance, as a read_committed reader sees it; the clock starts with exec of the new process."""

import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

import stage  # noqa: E402


def measure(on_stage, times):
    """Seconds of each restart, and how often the other member was assigned meanwhile. The
    stage has partitions for two."""
    one, two = (on_stage.start(**{"instance.id": name}) for name in ("static-1", "static-2"))
    stage.wait_for("partitions of both", lambda: own(one) and own(two))
    began, seconds = assigned(two), []
    for n in range(times):
        partitions = own(one)
        one.kill()
        for p in partitions:
            ask(on_stage, f"new-{n}-{p}", p)
        on_stage.flush()
        at = time.monotonic()
        one.start()
        stage.wait_for("a new result", lambda p=partitions, m=n: on_stage.read(0.01) >= 0 and any(
            f"new-{m}-{q}" in on_stage.by_id for q in p), 60, 0)
        seconds.append(time.monotonic() - at)
        one.wait_ready()
    return seconds, assigned(two) - began


def ask(on_stage, name, partition):
    on_stage.command(name, "update-conversation", {"conversation_id": "cnv_1"},
                     {"status": "open"}, partition=partition)


def own(connector):
    return [p["partition"] for p in connector.status()["partitions"] if p["state"] == "live"]


def assigned(connector):
    return connector.log.read_text(errors="replace").count("group.assigned")


def main():
    on_stage = stage.Stage()
    try:
        seconds, seen = measure(on_stage, int((sys.argv[1:] or ["20"])[0]))
    finally:
        on_stage.close()
    print(f"static member, kill -9 and restart: first new result after "
          f"{statistics.median(seconds):.2f} s (median of {len(seconds)}; "
          f"{min(seconds):.2f} to {max(seconds):.2f}); the other member saw {seen} rebalance(s)")


if __name__ == "__main__":
    main()
