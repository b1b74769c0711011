"""sekmet, here as a client: the scenarios of its library, one of ours in its language, and TestScripts by its runner."""

import os
import re
import tempfile

import yaml
from sekmet.config import Identifiers, Peer, PeerAuth, Settings, SimulatorSettings
from sekmet.context import AppContext
from sekmet.scenarios.runner import LIBRARY, ScenarioRunner
from sekmet.scenarios.testscript import TestScriptRunner, export_run, load_testscript

from checks import BASE, NHS_NUMBER, check, holds, same, to_link_workers, token, whole_task

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "sekmet")
# The steps of its conformance_smoke that create and change Patients and Observations. Onward takes in referrals alone; what is not
# claimed is refused with an OperationOutcome (R4 http, “create”; 405 where the type can be read, 404 where it is not).
REFUSED = {
    "Create Patient",
    "Conditional create does not duplicate",
    "Update with correct If-Match",
    "Stale If-Match is rejected (409/412)",
    "Search Observation by patient with _include",
    "Searchset entries carry search.mode (match / include)",
    "Invalid resource is rejected",
}
# No ServiceRequest is in that transaction, so it is no referral.
NO_REFERRAL = "Transaction with urn:uuid references"
# What its other scenarios do here, each: they register a patient first, which is refused.
OTHERS = {
    "adt_admit_transfer_discharge", "adt_merge_update", "appointment_book_cancel", "billing_claim", "bulk_export_group",
    "clinical_documentation", "lab_order_peer_fills", "lab_order_to_result", "medication_order_dispense", "messaging_adt_orders",
    "rad_order_imaging_report", "subscription_backport_roundtrip", "subscription_roundtrip",
}

folder = tempfile.mkdtemp()
os.chdir(folder)


def peer(name):
    return Peer(base_url=BASE, auth=PeerAuth(type="bearer", token=token(name)), timeout=20)


context = AppContext(Settings(
    db_path=":memory:", data_dir=folder, simulator=SimulatorSettings(enabled=False), identifiers=Identifiers(mrn=NHS_NUMBER),
    peers={name: peer(name) for name in ("gp", "rio", "link-workers")}))


def get(path, name="gp"):
    answer = context.peer_client(name).request("GET", path)
    same(answer.status, 200)
    return answer.body


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def tell(prefix, steps):
    """A line a step; what it says itself is the reason."""
    for step in steps:
        @check(f"{prefix}-{slug(step.name)}")
        def _():
            failed = [f"{c['check']}: {c['detail']}" for c in step.checks if not c["ok"]]
            # warning is its word for a should that was not met
            holds(step.status in ("passed", "skipped"), f"{step.status} {step.message} {failed}")


def smoke():
    """Its conformance_smoke over a Patient who came with a referral instead of one that it creates."""
    patient = get(get(f"Task/{whole_task()}", "rio")["for"]["reference"], "rio")
    name = patient["name"][0]
    text = (LIBRARY / "conformance_smoke.yaml").read_text()
    text = text.replace("'Conformance'", f"'{name['given'][0]}'")
    # as many versions as a Patient has that nobody can change
    text = text.replace("Bundle.entry.count() >= 2", "Bundle.entry.count() >= 1")
    scenario = yaml.safe_load(text)
    for step in scenario["steps"]:
        if "set" in step:
            step["set"] = {"mrn": patient["identifier"][0]["value"]}
        if step.get("name") in REFUSED:
            step["expect"] = {"status": [400, 404, 405], "fhirpath": ["OperationOutcome.issue.exists()"]}
        if step.get("name") == NO_REFERRAL:
            step["expect"] = {"status": [400, 422], "fhirpath": ["OperationOutcome.issue.exists()"]}
        if step.get("save") == "created":
            del step["save"]
    names = {step.get("name") for step in scenario["steps"]}
    check("smoke-as-known")(lambda: same((REFUSED | {NO_REFERRAL}) - names, set()))
    return ScenarioRunner(context, "rio").run(scenario, {"created": {"body": patient}})


played = smoke()
tell("smoke", [step for step in played.steps if step.kind != "set"])


@check("smoke-again-as-testscript")
def _():
    # what it sent, exported by itself as a TestScript and played again
    script = export_run(context, played.to_dict(), BASE)
    holds(len(script["test"][0]["action"]) >= 20, "it holds little")
    again = TestScriptRunner(context, ["rio"], fixture_base_url=None).run(script)
    same([f"{s.name}: {s.message}" for s in again.steps if s.status != "passed"], [])


@check("library-as-known")
def _():
    same({path.stem for path in LIBRARY.glob("*.yaml")}, OTHERS | {"conformance_smoke"})


for scenario in sorted(OTHERS):
    @check(f"refused-{slug(scenario)}")
    def _():
        # it may fail, and must be told why: what is answered is a resource, and no fault of the server
        answers = []
        watch = lambda method, url, status, *rest: answers.append((method, url[len(BASE):], status))
        context.peer_client("rio").observers.append(watch)
        try:
            result = ScenarioRunner(context, "rio").run(scenario)
        finally:
            context.peer_client("rio").observers.remove(watch)
        holds(all(status and status < 500 for _, _, status in answers), answers)
        holds(result.status in ("failed", "error", "skipped"), f"{result.status}: it applies")
        last = next((s for s in result.steps if s.status in ("failed", "error")), None)
        holds(last is None or " HTTP 4" in last.message, last and last.message)


referral = to_link_workers("set below")
referral["identifier"][0]["value"] = "SEK-${uid}"
with open(os.path.join(HERE, "referral.yaml"), encoding="utf-8") as file:
    ours = yaml.safe_load(file)
for step in ours["steps"]:
    if step.get("request", {}).get("body") == "${referral}":
        step["request"]["body"] = referral
tell("referral", [step for step in ScenarioRunner(context, "gp").run(ours).steps if step.kind != "set"])

talked = next(e["resource"] for e in get("Task?status=accepted")["entry"])
variables = {"task": talked["id"], "request": talked["focus"]["reference"].split("/")[-1]}
script = load_testscript(os.path.join(HERE, "conversation.json"))
results = TestScriptRunner(context, ["gp", "link-workers"], fixture_base_url=None, variables=variables).run(script)
for test in [test["name"] for test in script["test"]]:
    @check(f"testscript-{test}")
    def _():
        steps = [step for step in results.steps if step.name.startswith(f"{test}: ")]
        holds(steps, "it was not run")
        same([f"{step.name}: {step.message}" for step in steps if step.status != "passed"], [])
