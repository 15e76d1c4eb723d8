"""
``serving.py roundup FOLDER PORT`` or ``serving.py helpdesk PORT``: one of the systems, served until killed.

It runs in the environment of the systems.  Roundup's own server refuses to run as root, as continuous
integration does; both have a WSGI application for deployments, which is served here.
"""

from __future__ import annotations

import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class Server(ThreadingMixIn, WSGIServer):
    """Answers while it waits: a follow-up rings at the adapter, which asks for it."""

    daemon_threads = True


class Handler(WSGIRequestHandler):
    """Knows no names of callers."""

    def address_string(self) -> str:
        """Return the address, without asking for its name."""
        return str(self.client_address[0])


def main(system: str, *words: str) -> None:
    """Serve *system*."""
    if system == "roundup":
        from roundup.cgi.wsgi_handler import RequestDispatcher  # noqa: PLC0415 - one of the two

        application = RequestDispatcher(words[0])
    else:
        from django.core.wsgi import get_wsgi_application  # noqa: PLC0415 - the other

        application = get_wsgi_application()
    server = make_server("127.0.0.1", int(words[-1]), application, Server, Handler)
    sys.stdout.write(f"listens on 127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
