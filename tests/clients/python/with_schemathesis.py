"""schemathesis over /openapi.json, by a referrer and by a provider: no fault of the server, and nothing that the document does not say."""

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from urllib.request import Request, urlopen

from checks import BASE, check, holds, same, token

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "schemathesis")
DOCUMENT = BASE.removesuffix("/fhir") + "/openapi.json"


def get(url, name):
    with urlopen(Request(url, headers={"Authorization": f"Bearer {token(name)}"}), timeout=20) as answer:
        return json.load(answer)


def ids(name):
    found = {kind: get(f"{BASE}/{kind}?_count=5", name) for kind in ("Task", "ServiceRequest")}
    return {kind: [entry["resource"]["id"] for entry in bundle["entry"]] for kind, bundle in found.items()}


def run(name, which):
    """One run as this client; its JUnit report, a case for each operation."""
    folder = tempfile.mkdtemp()
    report = os.path.join(folder, "report.xml")
    program = os.path.join(os.path.dirname(sys.executable), "schemathesis")
    command = [program, "--config-file", os.path.join(HERE, "schemathesis.toml"), "run", DOCUMENT, "--report-junit-path", report,
               "--no-color", "--warnings", "off", *which]
    environment = {**os.environ, "ONWARD_OPENAPI_TOKEN": token(name), "ONWARD_OPENAPI_IDS": json.dumps(ids(name)), "PYTHONPATH": HERE}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    holds(os.path.exists(report), done.stdout[-2000:] + done.stderr[-2000:])
    return ElementTree.parse(report).getroot()


def tell(name, case):
    """A line for one operation."""

    @check(f"{name}-{case.get('name').replace(' ', '-')}")
    def _():
        wrong = [" ".join((found.text or found.get("message") or "").split()) for found in case if found.tag in ("failure", "error")]
        same(wrong, [])


@check("document")
def _():
    document = get(DOCUMENT, "gp")
    holds(document["openapi"].startswith("3."), document["openapi"])
    holds("/fhir/Task/{id}" in document["paths"], sorted(document["paths"])[:5])


# each tries what is its own to do; how the other is refused is tried by tests/it/api/openapi.rs
ANSWERS = ("Task", "Provenance", "Organization")
CLIENTS = {
    "gp": [part for tag in ANSWERS for part in ("--exclude-tag", tag)],
    "link-workers": [part for tag in (*ANSWERS, "Communication") for part in ("--include-tag", tag)],
}
with ThreadPoolExecutor() as threads:
    runs = {name: threads.submit(run, name, which) for name, which in CLIENTS.items()}

for client in CLIENTS:
    cases = []

    @check(f"run-as-{client}")
    def _():
        cases.extend(runs[client].result().iter("testcase"))
        holds(cases, "no operation was tried")

    for tried in cases:
        tell(client, tried)
