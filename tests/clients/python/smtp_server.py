"""A mail server as hospitals run them, by aiosmtpd: STARTTLS before anything else, then a log-in.

It takes no client library to the test: Onward is the client here. What it takes is appended to the file ONWARD_MAILS, a JSON object a line;
an address that begins with `gone` is refused for good, one that begins with `busy` for now.
"""

import json
import os
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


class Takes:
    """What becomes of what is sent."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone"):
            return "550 5.1.1 Nobody of that name is here"
        if address.startswith("busy"):
            return "451 4.3.0 Come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "text": envelope.content.decode("utf-8", "replace"),
            "encrypted": session.ssl is not None,
            "known": bool(session.authenticated),
        }
        with open(os.environ["ONWARD_MAILS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(mail) + "\n")
        return "250 OK"


def authenticator(server, session, envelope, mechanism, data):
    """Lets in whoever has the password."""
    known = isinstance(data, LoginPassword) and data.password == os.environ["ONWARD_MAIL_PASSWORD"].encode()
    return AuthResult(success=known, handled=True)


def main():
    """Serves until its input ends, which it does with whoever started it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["ONWARD_MAIL_CERTIFICATE"], os.environ["ONWARD_MAIL_KEY"])
    controller = Controller(
        Takes(),
        hostname="127.0.0.1",
        port=int(os.environ["ONWARD_MAIL_PORT"]),
        tls_context=context,
        require_starttls=True,
        authenticator=authenticator,
        auth_required=True,
    )
    controller.start()
    print("ready", flush=True)
    sys.stdin.read()
    controller.stop()


if __name__ == "__main__":
    main()
