"""What schemathesis cannot know of Onward: ids that are there, FHIR's XML, and answers without a body."""

import json
import os
import xml.etree.ElementTree as ElementTree

import schemathesis
from hypothesis import strategies

# by type, of the scene
IDS = json.loads(os.environ["ONWARD_OPENAPI_IDS"])
NAMESPACE = "http://hl7.org/fhir"
# well-formed and not, of FHIR and not
XML = [
    f'<ServiceRequest xmlns="{NAMESPACE}"><status value="active"/><intent value="order"/></ServiceRequest>',
    f'<Task xmlns="{NAMESPACE}"><status value="accepted"/><intent value="order"/></Task>',
    f'<Communication xmlns="{NAMESPACE}"><status value="completed"/></Communication>',
    f'<Bundle xmlns="{NAMESPACE}"><type value="transaction"/></Bundle>',
    f'<Patient xmlns="{NAMESPACE}"><gender value="no-such"/></Patient>',
    "<Task/>",
    "<Task",
    "",
]


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """A random id leads to 404 and no further."""
    drawn = (path_parameters or {}).get("id")
    parts = context.operation.path.split("/")
    known = next((IDS[part] for part in parts if part in IDS), None)
    # by what was drawn and nothing else, so that a case can be played again
    if known and isinstance(drawn, str) and len(drawn) % 4 != 3:
        path_parameters["id"] = known[len(drawn) % len(known)]
    return path_parameters


@schemathesis.hook
def before_call(context, case, kwargs):
    """OpenAPI cannot say that an answer may have no body: what is answered to return=minimal is tried by tests/it/api/prefer.rs."""
    if case.headers and case.headers.get("Prefer") == "return=minimal":
        case.headers["Prefer"] = "return=representation"


schemathesis.openapi.media_type("application/fhir+xml", strategies.sampled_from([text.encode() for text in XML]))


@schemathesis.deserializer("application/fhir+xml")
def read_xml(context, response):
    """To the document it is a text; it must be XML, and FHIR's."""
    text = response.content.decode("utf-8")
    root = ElementTree.fromstring(text)
    if not root.tag.startswith(f"{{{NAMESPACE}}}"):
        raise ValueError(f"{root.tag} is not of FHIR")
    return text


@schemathesis.deserializer("text/plain")
def read_text(context, response):
    """Figures."""
    return response.content.decode("utf-8")
