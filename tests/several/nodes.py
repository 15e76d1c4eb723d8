"""Where each bridge has a database: on a cluster at a node of its own, the others after it."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, make_url

POSTGRESQL, MARIADB, GALERA = "postgresql", "mariadb", "galera"


def at(url: str, number: int) -> str:
    """Return the URL by which bridge *number* has the database at *url*."""
    hosts = _hosts(url)
    if not hosts:
        return url
    first = number % len(hosts)
    turned = make_url(url).update_query_dict({"host": (*hosts[first:], *hosts[:first])})
    return turned.render_as_string(hide_password=False)


def kind(url: str) -> str:
    """Return what the database at *url* is."""
    if _hosts(url):
        return GALERA
    return POSTGRESQL if make_url(url).get_backend_name() == POSTGRESQL else MARIADB


def beside(url: str, number: int = 0) -> Engine:
    """Return an engine that knows nothing of bridges, each statement a transaction, at a node of *url*'s."""
    hosts, plain = _hosts(url), make_url(url)
    if hosts:
        host, _, port = hosts[number].partition(":")
        plain = plain.difference_update_query(["host"]).set(host=host, port=int(port))
    return create_engine(plain, isolation_level="AUTOCOMMIT")


def _hosts(url: str) -> tuple[str, ...]:
    hosts = make_url(url).query.get("host", ())
    return hosts if isinstance(hosts, tuple) else (hosts,)
