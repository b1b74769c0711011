"""pyfhircheck: its REST pack for R4 over each type that is read, its scan over what is found, and its validator over both."""

import json
import logging
from urllib.request import Request, urlopen

from pyfhircheck import ApiScanOptions, ApiTestOptions, load_builtin_api_test_plan, run_api_tests, scan_api

from checks import BASE, check, holds, same, token, whole_task

logging.disable(logging.WARNING)

# What its validator says against R4.
KNOWN = {
    "could not be found so is not allowed here":
        "an extension whose definition is not at hand is no error (R4 Extensibility: an application accepts what it does not know)",
    "Unknown element QuestionnaireResponse.item[0].text":
        "R4 has QuestionnaireResponse.item.text",
    "QuestionnaireResponse.questionnaire 'https://fixtures.example/Questionnaire/ons4|1.0' could not be resolved":
        "a canonical need not lead anywhere (R4 References, “Canonical URLs”)",
    "is not in required ValueSet _r4b_status_":
        "of Task's codes it knows those alone that R4's page of Task shows before its +",
}


def errors_of(report):
    """What is wrong by R4."""
    told = [f"{error.path}: {error.message}" for error in report.errors]
    return [error for error in told if not any(known in error for known in KNOWN)]


def signed():
    return {"Authorization": f"Bearer {token('rio')}"}


def read(reference):
    with urlopen(Request(f"{BASE}/{reference}", headers=signed()), timeout=20) as answer:
        return json.load(answer)


plan = load_builtin_api_test_plan("base-r4").to_dict()
for scenario in plan["scenarios"]:
    # one that fails for what KNOWN lists shall keep no other from being tried
    scenario["prerequisites"] = []
package = [entry["resource"] for entry in read(f"Task/{whole_task()}/$package")["entry"]]
by_type = {resource["resourceType"]: resource for resource in package}


def tell(kind, scenario):
    """A line for one scenario of the pack: what it asserts, and what its validator says of the answer."""

    @check(f"{kind}-{scenario.id}")
    def _():
        holds(scenario.skip_reason is None, scenario.skip_reason)
        asserted = [a for a in scenario.assertions if a.kind != "resource-validation"]
        same([f"{a.message}, {a.actual!r}" for a in asserted if a.status.value != "PASS"], [])
        same(scenario.request.error, None)
        if scenario.validation_report:
            same(errors_of(scenario.validation_report), [])


for kind in ("Task", "ServiceRequest", "Patient", "Practitioner", "PractitionerRole", "Organization", "Consent",
             "QuestionnaireResponse", "DocumentReference"):
    inputs = {"resourceType": kind, "resourceId": by_type[kind]["id"], "versionId": by_type[kind]["meta"]["versionId"]}
    report = run_api_tests(BASE, plan, options=ApiTestOptions(auth=signed, inputs=inputs, retry_attempts=1))
    for scenario in report.scenarios:
        # of the server, not of a type
        if kind == "Task" or scenario.id not in ("metadata", "json-negotiation"):
            tell(kind, scenario)


@check("scan")
def _():
    types = ("Task", "ServiceRequest")
    params = {kind: {"_count": 2} for kind in types}
    report = scan_api(BASE, options=ApiScanOptions(resource_types=types, search_params=params, auth=signed, max_pages=25))
    holds(report.api_scan.complete, report.api_scan.stop_reason)
    holds(report.api_scan.resources_fetched >= 10, f"only {report.api_scan.resources_fetched} were found")
    same(errors_of(report), [])
