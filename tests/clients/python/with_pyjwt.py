"""A system that others wrote the cryptography of: PyJWT and cryptography make its keys, its key set and its assertions.

    with_pyjwt.py keys FOLDER     makes keys, and FOLDER/jwks.json with their public halves
    with_pyjwt.py                 gets tokens by them and uses them, a line for each check
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

KINDS = {"ES384": ECAlgorithm, "RS384": RSAAlgorithm}


def make(folder):
    keys = {"ES384": ec.generate_private_key(ec.SECP384R1()), "RS384": rsa.generate_private_key(65537, 3072)}
    public = []
    for name, key in keys.items():
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        with open(os.path.join(folder, name + ".pem"), "wb") as file:
            file.write(pem)
        jwk = json.loads(KINDS[name].to_jwk(key.public_key()))
        public.append({**jwk, "kid": "of-" + name, "use": "sig", "alg": name})
    with open(os.path.join(folder, "jwks.json"), "w") as file:
        json.dump({"keys": public}, file)


def ask(url, form=None, token=None, accept="application/json"):
    """Status, headers and JSON of an answer."""
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, data, {"Accept": accept})
    if token:
        request.add_header("Authorization", "Bearer " + token)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read() or b"null")


def check(name, holds, why=""):
    print("ok " + name if holds else "not ok %s: %s" % (name, why), flush=True)


def tried():
    base, folder, client = os.environ["ONWARD_BASE"], os.environ["ONWARD_KEYS"], os.environ["ONWARD_CLIENT"]
    status, _, told = ask(base + "/.well-known/smart-configuration")
    check("configuration", status == 200 and "client-confidential-asymmetric" in told["capabilities"], told)
    url = told["token_endpoint"]

    def assertion(algorithm, **changed):
        with open(os.path.join(folder, algorithm + ".pem")) as file:
            key = file.read()
        now = int(time.time())
        claims = {"iss": client, "sub": client, "aud": url, "exp": now + 240, "iat": now, "jti": str(uuid.uuid4()), **changed}
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": "of-" + algorithm})

    def token(signed, scope="system/Task.rs system/ServiceRequest.r"):
        return ask(url, {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": signed,
            "scope": scope,
        })

    for algorithm in KINDS:
        status, headers, given = token(assertion(algorithm))
        check(algorithm + " gets a token", status == 200 and given["token_type"] == "bearer", given)
        check(algorithm + " is not cached", headers["Cache-Control"] == "no-store", headers["Cache-Control"])
        check(algorithm + " for a short time", 0 < given.get("expires_in", 0) <= 300, given.get("expires_in"))
        check(algorithm + " for what was asked", set(given["scope"].split()) == {"system/Task.rs", "system/ServiceRequest.r"}, given["scope"])
        access = given["access_token"]
        status, _, found = ask(base + "/Task", token=access, accept="application/fhir+json")
        check(algorithm + " searches", status == 200 and found["resourceType"] == "Bundle", found)
        status, headers, found = ask(base + "/Patient?_id=1", token=access, accept="application/fhir+json")
        beyond = 'error="insufficient_scope"' in (headers["WWW-Authenticate"] or "")
        check(algorithm + " sees no person", status == 403 and beyond and found["resourceType"] == "OperationOutcome", found)
        form = {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion(algorithm),
            "token": access,
        }
        status, _, _ = ask(told["revocation_endpoint"], form)
        after, _, _ = ask(base + "/Task", token=access, accept="application/fhir+json")
        check(algorithm + " is revoked", (status, after) == (200, 401), (status, after))

    once = assertion("ES384")
    first, second = token(once), token(once)
    check("an assertion is used once", (first[0], second[0], second[2]["error"]) == (200, 401, "invalid_client"), second)
    wrong = {
        "expired": {"exp": int(time.time()) - 60},
        "for too long": {"exp": int(time.time()) + 3600},
        "for another server": {"aud": "https://other.example/token"},
        "of another": {"iss": "system/other"},
        "in the future": {"nbf": int(time.time()) + 120},
    }
    for name, changed in wrong.items():
        status, _, said = token(assertion("RS384", **changed))
        check("one " + name, status == 401 and said["error"] == "invalid_client", said)
    status, _, said = token(assertion("RS384"), "system/Task.rs?status=requested")
    check("a narrowed scope", status == 400 and said["error"] == "invalid_scope", said)


if sys.argv[1:2] == ["keys"]:
    make(sys.argv[2])
else:
    tried()
