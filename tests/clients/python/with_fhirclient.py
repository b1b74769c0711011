"""fhirclient of SMART Health IT: every answer is read into its strict R4 models."""

import logging

from fhirclient.client import FHIRClient
from fhirclient.models.bundle import Bundle
from fhirclient.models.capabilitystatement import CapabilityStatement
from fhirclient.models.communication import Communication
from fhirclient.models.fhirsearch import FHIRSearch
from fhirclient.models.operationoutcome import OperationOutcome
from fhirclient.models.patient import Patient
from fhirclient.models.practitioner import Practitioner
from fhirclient.models.practitionerrole import PractitionerRole
from fhirclient.models.provenance import Provenance
from fhirclient.models.servicerequest import ServiceRequest
from fhirclient.models.task import Task
from fhirclient.server import FHIRNotFoundException, FHIRPermissionDeniedException, FHIRUnauthorizedException
from requests.exceptions import HTTPError

from checks import (
    BASE, GP_NUMBERS, NHS_NUMBER, NUMBER_OF_PATIENT, check, fails, holds, issues, once_each, same, to_link_workers, token, transaction,
    whole_task,
)

logging.disable(logging.WARNING)


def server(name, shown=None, **headers):
    """As this system or provider, with further headers in every request."""
    auth = {"access_token": shown or token(name)}
    state = {"app_id": "scene", "server": {"base_uri": BASE + "/", "auth_type": "oauth2", "auth": auth}}
    made = FHIRClient(state=state).server
    made.session.headers.update(headers)
    return made


gp, rio, provider = server("gp"), server("rio"), server("link-workers")


def found(kind, struct, of=gp):
    return list(kind.where(struct).perform_resources_iter(of))


def ids(resources):
    return [r.id for r in resources]


def outcome(error):
    """The OperationOutcome of a refusal, by its model too."""
    body = error.response.json()
    OperationOutcome(body)
    return issues(body)


tasks = found(Task, {"_count": "500"})
accepted = next(t for t in tasks if t.status == "accepted")
waiting = [t for t in tasks if t.status == "requested"]
request_id = accepted.focus.reference.split("/")[-1]


@check("metadata")
def _():
    # of a server of its own: reading it, fhirclient takes on the authorisation that is told there, which is no SMART one
    statement = server("gp").capabilityStatement
    same((statement.fhirVersion, statement.rest[0].mode), ("4.0.1", "server"))
    holds(CapabilityStatement.read_from("metadata", server("gp", shown="nobody")), "it is for everybody")


@check("prepare")
def _():
    client = FHIRClient(settings={"app_id": "scene", "api_base": BASE})
    holds(client.prepare() and client.ready, "not ready")


@check("read")
def _():
    task = Task.read(accepted.id, gp)
    same((task.status, task.intent, task.id), ("accepted", "order", accepted.id))
    holds(task.lastModified.isostring and task.meta.versionId, "no moment or version")


@check("resolve")
def _():
    request = Task.read(accepted.id, gp).focus.resolved(ServiceRequest)
    same((request.id, request.status), (request_id, "active"))


@check("resolve-carried")
def _():
    task = Task.read(whole_task(), rio)
    request = task.focus.resolved(ServiceRequest)
    same(task.for_fhir.resolved(Patient).identifier[0].system, NHS_NUMBER)
    holds(request.requester.resolved(PractitionerRole).practitioner.resolved(Practitioner).name, "no name")


@check("vread")
def _():
    first = Task.read_from(f"Task/{accepted.id}/_history/1", gp)
    same((first.meta.versionId, first.status), ("1", "requested"))


@check("history-instance")
def _():
    for path in (f"Task/{accepted.id}", f"ServiceRequest/{request_id}"):
        history = Bundle.read_from(f"{path}/_history", gp)
        same((history.type, history.total), ("history", len(history.entry)))


@check("history-type")
def _():
    for kind in ("Task", "ServiceRequest"):
        history = Bundle.read_from(f"{kind}/_history?_count=500", gp)
        same(history.type, "history")
        holds(len(history.entry) >= 7, f"{len(history.entry)}")


@check("history-paging")
def _():
    first = Bundle.read_from("Task/_history?_count=3", gp)
    seen, page = [], first
    while page:
        seen += [(e.resource.id, e.resource.meta.versionId) for e in page.entry or []]
        next_url = next((link.url for link in page.link or [] if link.relation == "next"), None)
        page = Bundle.read_from(next_url, gp) if next_url else None
    whole = Bundle.read_from("Task/_history?_count=500", gp)
    once_each(seen, [(e.resource.id, e.resource.meta.versionId) for e in whole.entry])


@check("search-several")
def _():
    wanted = [t.id for t in tasks if t.status in ("accepted", "completed")]
    struct = {"status": {"$or": ["accepted", "completed"]}, "owner": "Organization/link-workers", "_lastUpdated": "gt2020"}
    once_each(ids(found(Task, struct)), wanted)


@check("search-missing")
def _():
    same(found(Task, {"owner": {"$missing": "true"}}), [])


@check("search-chained")
def _():
    struct = {"patient": {"identifier": f"{NHS_NUMBER}|{NUMBER_OF_PATIENT}"}}
    same(ids(found(Task, struct, rio)), [whole_task()])
    same(len(found(ServiceRequest, struct, rio)), 1)


@check("search-chained-with-type")
def _():
    struct = {"subject": {"$type": "Patient", "identifier": f"{NHS_NUMBER}|{NUMBER_OF_PATIENT}"}}
    same([f"ServiceRequest/{r.id}" for r in found(ServiceRequest, struct, rio)], [Task.read(whole_task(), rio).focus.reference])


@check("search-old-prefix-refused")
def _():
    # its $gt is the sign of DSTU1; R4 has gt (search, “Prefixes”), and a sign is no part of a date
    refused = fails(HTTPError, lambda: found(Task, {"_lastUpdated": {"$gt": "2020"}}))
    same((refused.response.status_code, outcome(refused)), (400, ["value"]))


@check("search-post")
def _():
    as_gp = server("gp", Authorization=f"Bearer {token('gp')}")
    answer = as_gp.post_as_form(f"{BASE}/Task/_search", {"status": "accepted,completed", "owner": "Organization/link-workers"})
    bundle = Bundle(answer.json())
    once_each([e.resource.id for e in bundle.entry], [t.id for t in tasks if t.status in ("accepted", "completed")])
    own = next(link.url for link in bundle.link if link.relation == "self")
    holds("status" not in own and "accepted" not in own, "what was asked in a body stands in a URL")
    once_each([e.resource.id for e in Bundle.read_from(own, as_gp).entry], [e.resource.id for e in bundle.entry], "the self link")


@check("search-post-query-and-body")
def _():
    # R4 http, “search”: the parameters of the URL and of the body together
    as_gp = server("gp", Authorization=f"Bearer {token('gp')}")
    bundle = Bundle(as_gp.post_as_form(f"{BASE}/Task/_search?status=accepted", {"_count": "1"}).json())
    same([e.resource.status for e in bundle.entry], ["accepted"])


@check("paging")
def _():
    for kind in (Task, ServiceRequest):
        whole = ids(found(kind, {"_count": "500"}))
        once_each(ids(found(kind, {"_count": "2"})), whole, kind.__name__)


@check("paging-by-page")
def _():
    pages = list(Task.where({"_count": "3"}).perform_iter(gp))
    holds(all(len(p.entry) <= 3 for p in pages), "a page with more than was asked for")
    once_each([e.resource.id for p in pages for e in p.entry], ids(tasks))


@check("include")
def _():
    resources = list(Task.where({"_id": accepted.id}).include("focus").perform_resources_iter(gp))
    once_each([f"{r.resource_type}/{r.id}" for r in resources], [f"Task/{accepted.id}", accepted.focus.reference])


@check("include-two")
def _():
    struct = {"_id": whole_task(), "_include": {"$and": ["Task:focus", "Task:patient"]}}
    resources = found(Task, struct, rio)
    once_each([r.resource_type for r in resources], ["Task", "ServiceRequest", "Patient"])


@check("revinclude")
def _():
    search = FHIRSearch(ServiceRequest, {"_id": request_id}).include("focus", Task, reverse=True)
    resources = list(search.perform_resources_iter(gp))
    once_each([f"{r.resource_type}/{r.id}" for r in resources], [accepted.focus.reference, f"Task/{accepted.id}"])


@check("revinclude-provenance")
def _():
    resources = found(Task, {"_id": accepted.id, "_revinclude": "Provenance:target"})
    holds(any(isinstance(r, Provenance) for r in resources), "no Provenance")


@check("summary")
def _():
    bundle = Bundle.read_from("Task?_summary=count", gp)
    same((bundle.total, bundle.entry), (len(tasks), None))


@check("total")
def _():
    same(Bundle.read_from("Task?_total=accurate&_count=2", gp).total, len(tasks))


@check("create")
def _():
    answer = ServiceRequest(to_link_workers("smart-create")).create(gp)
    request = ServiceRequest(answer)
    same((request.meta.versionId, request.identifier[0].value), ("1", "smart-create"))


@check("create-if-none-exist")
def _():
    same_again = server("gp", **{"If-None-Exist": f"identifier={GP_NUMBERS}|smart-condition"})
    first = ServiceRequest(to_link_workers("smart-condition")).create(same_again)
    second = ServiceRequest(to_link_workers("smart-condition")).create(same_again)
    same(second["id"], first["id"])


@check("transaction")
def _():
    answer = Bundle(Bundle(transaction(to_link_workers("smart-one"), to_link_workers("smart-two"))).create(gp))
    same((answer.type, [e.response.status[:3] for e in answer.entry]), ("transaction-response", ["201", "201"]))


@check("batch")
def _():
    entry = [{"request": {"method": "GET", "url": url}} for url in (f"Task/{accepted.id}", "Task?status=accepted", "Task/not-there")]
    answer = Bundle(Bundle({"resourceType": "Bundle", "type": "batch", "entry": entry}).create(gp))
    same((answer.type, [e.response.status[:3] for e in answer.entry]), ("batch-response", ["200", "200", "404"]))


@check("prefer-minimal")
def _():
    same(ServiceRequest(to_link_workers("smart-minimal")).create(server("gp", Prefer="return=minimal")), None)


@check("update-if-match")
def _():
    task = Task.read(waiting[0].id, provider)
    task.status = "accepted"
    answer = Task(task.update(server("link-workers", **{"If-Match": f'W/"{task.meta.versionId}"'})))
    same(answer.status, "accepted")
    holds(int(answer.meta.versionId) > int(task.meta.versionId), "no new version")


@check("update-stale")
def _():
    task = Task.read(accepted.id, provider)
    task.status = "in-progress"
    refused = fails(HTTPError, lambda: task.update(server("link-workers", **{"If-Match": 'W/"1"'})))
    same((refused.response.status_code, outcome(refused)), (412, ["conflict"]))


@check("update-illegal")
def _():
    task = Task.read(next(t.id for t in tasks if t.status == "completed"), provider)
    task.status = "requested"
    refused = fails(HTTPError, lambda: task.update(server("link-workers", **{"If-Match": f'W/"{task.meta.versionId}"'})))
    holds(refused.response.status_code in (409, 422) and outcome(refused), refused.response.status_code)


@check("update-not-as-referrer")
def _():
    task = Task.read(accepted.id, gp)
    task.status = "in-progress"
    refused = fails(FHIRPermissionDeniedException, lambda: task.update(server("gp", **{"If-Match": 'W/"3"'})))
    holds(outcome(refused), "no issue")


@check("message")
def _():
    words = {"resourceType": "Communication", "status": "completed", "basedOn": [{"reference": f"ServiceRequest/{request_id}"}],
             "payload": [{"contentString": "When may we call?"}]}
    said = Communication(Communication(words).create(gp))
    struct = {"based-on": f"ServiceRequest/{request_id}"}
    holds(said.id in ids(found(Communication, struct, provider)), "the other side does not find it")


@check("revinclude-communication")
def _():
    resources = found(ServiceRequest, {"_id": request_id, "_revinclude": "Communication:based-on"})
    once_each({r.resource_type for r in resources}, {"ServiceRequest", "Communication"})


@check("error-not-found")
def _():
    same(outcome(fails(FHIRNotFoundException, lambda: Task.read("not-there", gp))), ["not-found"])


@check("error-unauthorised")
def _():
    refused = fails(FHIRUnauthorizedException, lambda: Task.read(accepted.id, server("gp", shown="nobody")))
    holds(outcome(refused), "no issue")


@check("error-invalid")
def _():
    wrong = to_link_workers("smart-wrong")
    wrong["status"] = "on-fire"
    refused = fails(HTTPError, lambda: ServiceRequest(wrong).create(gp))
    same(refused.response.status_code, 400)
    holds("code-invalid" in outcome(refused), "it does not say that the code is none")


@check("error-delete")
def _():
    refused = fails(HTTPError, lambda: Task.read(accepted.id, gp).delete())
    same((refused.response.status_code, outcome(refused)), (405, ["not-supported"]))


def get(path, method="GET", **headers):
    """As it is, without the library, by its session."""
    return gp.session.request(method, f"{BASE}/{path}", headers={"Authorization": f"Bearer {token('gp')}", **headers})


@check("not-modified")
def _():
    etag = get(f"Task/{accepted.id}").headers["ETag"]
    answer = get(f"Task/{accepted.id}", **{"If-None-Match": etag})
    same((answer.status_code, answer.content, answer.headers["ETag"]), (304, b"", etag))


@check("head")
def _():
    read, head = get(f"Task/{accepted.id}"), get(f"Task/{accepted.id}", "HEAD")
    same((head.status_code, head.content, head.headers.get("ETag")), (200, b"", read.headers["ETag"]))


@check("request-id-mirrored")
def _():
    answer = get(f"Task/{accepted.id}", **{"X-Request-ID": "scene-17", "X-Correlation-ID": "scene-all"})
    same((answer.headers.get("X-Request-ID"), answer.headers.get("X-Correlation-ID")), ("scene-17", "scene-all"))


@check("gzip")
def _():
    answer = get("Task?_count=500", **{"Accept-Encoding": "gzip"})
    same((answer.headers.get("Content-Encoding"), answer.json()["type"]), ("gzip", "searchset"))


@check("not-acceptable")
def _():
    answer = get(f"Task/{accepted.id}", Accept="text/turtle")
    same((answer.status_code, issues(answer.json())), (406, ["not-supported"]))
