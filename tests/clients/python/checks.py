"""What the scripts share: where Onward is, the referrals that lie there, and a line for each check."""

import json
import os
import sys
import traceback

BASE = os.environ["ONWARD_BASE"]
ODS = "https://fhir.nhs.uk/Id/ods-organization-code"
NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
GP_NUMBERS = "https://brownlow-gp.example/referral-id"
# of the persons of 01-contained-patient.json, whom a Task names by the number alone, and 03-full-bundle.json, who is a Patient
NUMBER_IN_TASKS = "9990471134"
NUMBER_OF_PATIENT = "9990742677"


def token(client):
    """The bearer token of a system or provider of the scene."""
    return os.environ["ONWARD_TOKEN_" + client.upper().replace("-", "_")]


def fixture(name):
    """A file of fixtures/referrals."""
    with open(os.path.join(os.environ["ONWARD_FIXTURES"], "referrals", name), encoding="utf-8") as file:
        return json.load(file)


def whole_task():
    """The id of the Task of the referral that carries all that one can."""
    return os.environ["ONWARD_WHOLE_TASK"]


def to_link_workers(number):
    """A practice's referral that is known there by this number."""
    referral = fixture("02-nhs-number-only.json")
    referral["identifier"][0]["value"] = number
    return referral


def transaction(*resources):
    """These as one transaction."""
    entry = [
        {"fullUrl": f"urn:uuid:00000000-0000-4000-8000-00000000000{number}", "resource": resource,
         "request": {"method": "POST", "url": resource["resourceType"]}}
        for number, resource in enumerate(resources)
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entry}


def check(name):
    """Does at once what it decorates and tells in a line whether that went well. The script goes on either way."""

    def do(body):
        try:
            body()
        except Exception as error:  # every library has exceptions of its own
            if "ONWARD_CLIENTS_TRACE" in os.environ:
                traceback.print_exc(file=sys.stderr)
            answer = getattr(getattr(error, "response", None), "text", "")
            why = " ".join(f"{type(error).__name__} {error} {answer}".split())
            print(f"not ok {name}: {why[:400]}", flush=True)
        else:
            print(f"ok {name}", flush=True)
        return body

    return do


def holds(condition, why):
    """Fails the check unless so."""
    if not condition:
        raise AssertionError(why)


def same(got, wanted, what=""):
    """Fails the check unless equal."""
    holds(got == wanted, f"{what} {got!r} instead of {wanted!r}")


def once_each(got, wanted, what="found"):
    """Fails unless the same ids are there, each once: nothing was repeated and nothing skipped."""
    got = list(got)
    same(len(set(got)), len(got), f"{what}: some came twice, distinct")
    same(set(got), set(wanted), what)


def fails(kind, call):
    """The exception of this kind that the call must raise."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def issues(outcome):
    """The codes of the issues of what must be an OperationOutcome that says in words what is wrong."""
    same(outcome["resourceType"], "OperationOutcome")
    holds(all(i.get("severity") and i.get("code") and i.get("diagnostics") for i in outcome["issue"]), "an issue says nothing")
    return [issue["code"] for issue in outcome["issue"]]
