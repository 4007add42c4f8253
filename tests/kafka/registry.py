"""A real schema registry (Apicurio, with Confluent's API) for tests.

    python3 tests/kafka/registry.py prepare     fetched and unpacked into build/registry (make deps)
    python3 tests/kafka/registry.py run         one in the foreground; prints its URL

SCHEMA_REGISTRY set: the one at that URL is used and nothing is started. One that cannot start is
an error, never a reason to skip: the log's end is part of the message. It dies with the process
that started it; what it knows is in a file, so that it survives a restart."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import kafka

VERSION = "2.6.13.Final"
ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
HOME = kafka.ROOT / "build" / "registry"
JAR = f"apicurio-registry-app-{VERSION}-runner.jar"
PATH = "/apis/ccompat/v7"
START_DEADLINE_S = 120


class RegistryError(Exception):
    """The registry could not be prepared or started; the text says why."""


def prepare():
    """Fetches and unpacks it, once per version."""
    stamp = HOME / "ready"
    if stamp.exists() and stamp.read_text() == ARTIFACT:
        return
    for tool in ("java", "mvn"):
        if not shutil.which(tool):
            raise RegistryError(f"{tool} is not installed: make deps")
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    done = subprocess.run(
        ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}",
         f"-DoutputDirectory={HOME}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, text=True, cwd=HOME)
    if done.returncode:
        raise RegistryError("mvn could not fetch the registry:\n" + done.stdout[-2000:])
    archive = next(HOME.glob("*.tar.gz"))
    shutil.unpack_archive(archive, HOME)
    archive.unlink()
    if not (HOME / JAR).exists():
        raise RegistryError(f"{JAR} is not in {archive.name}")
    stamp.write_text(ARTIFACT)


class Client:
    """The little of the API that the tests themselves need."""

    def __init__(self, url):
        self.url = url

    def ask(self, method, path, body=None, timeout_s=20):
        """Status and decoded answer; (0, why) when nobody answers."""
        request = urllib.request.Request(
            self.url + path, None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/vnd.schemaregistry.v1+json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read() or b"null")
        except OSError as e:
            return 0, str(e)

    def subjects(self):
        return self.ask("GET", "/subjects")[1]

    def register(self, subject, schema):
        """The id."""
        status, answer = self.ask("POST", f"/subjects/{urllib.parse.quote(subject, '')}/versions",
                                  {"schema": schema})
        if status != 200:
            raise RegistryError(f"{subject} was not registered: {status} {answer}")
        return answer["id"]

    def latest(self, subject):
        """{id, version, schema, ...}; None: there is none."""
        status, answer = self.ask(
            "GET", f"/subjects/{urllib.parse.quote(subject, '')}/versions/latest")
        return answer if status == 200 else None


class Registry(Client):
    """One of our own: start(), stop(), restart(); .url is its address."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="front-connector-registry."))
        self.port = kafka.free_port()
        super().__init__(f"http://127.0.0.1:{self.port}{PATH}")
        self.log = self.folder / "registry.log"
        self.process = None

    def start(self):
        return self.launch().wait()

    def launch(self):
        port = str(self.port)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", JAR],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=HOME,
                preexec_fn=kafka.die_with_parent,
                env={**os.environ, "QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": port,
                     "HTTP_PORT": port,
                     "REGISTRY_DATASOURCE_URL": f"jdbc:h2:file:{self.folder}/db;WRITE_DELAY=0"})
        return self

    def wait(self):
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RegistryError(f"the registry ended with {self.process.returncode}; its "
                                    "log:\n" + kafka.tail(self.log))
            if self.ask("GET", "/subjects", timeout_s=5)[0] == 200:
                return self
            time.sleep(0.1)
        raise RegistryError(f"no answer from the registry within {START_DEADLINE_S} s; its log:\n"
                            + kafka.tail(self.log))

    def stop(self, how=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)
        self.process = None

    def restart(self, how=signal.SIGKILL):
        self.stop(how)
        return self.start()

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class ForeignRegistry(Client):
    """The one that SCHEMA_REGISTRY names: never started or stopped by us."""

    def wait(self):
        return self

    def remove(self):
        pass


def launch():
    """Begins to start; wait() when it is needed."""
    if os.environ.get("SCHEMA_REGISTRY"):
        return ForeignRegistry(os.environ["SCHEMA_REGISTRY"])
    prepare()
    return Registry().launch()


def main():
    try:
        if sys.argv[1:] == ["prepare"]:
            prepare()
        elif sys.argv[1:] == ["run"]:
            registry = launch().wait()
            print(registry.url, flush=True)
            try:
                signal.pause()
            except KeyboardInterrupt:
                registry.remove()
        else:
            sys.exit("usage: registry.py prepare | run")
    except RegistryError as e:
        sys.exit(f"registry: {e}")


if __name__ == "__main__":
    main()
