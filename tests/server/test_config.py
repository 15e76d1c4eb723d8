"""The configuration: read, overridden, described; every mistake named with its mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.config import NOT_SETTINGS, Settings, describe, load_settings
from exchange.errors import ConfigurationError
from exchange.settings import Limits

GOOD = """
database = "sqlite:///data/bridge.db"
origin = "bridge.example/log/1"
log_key = "log.key"
register = "register.csv"
profiles = ["own.toml"]

[tls]
certificate = "bridge.pem"
key = "/etc/bridge.key"

[networks]
"hotline12345.example" = "gov.pem"

[relays]
"11140400MB1X00010Y" = ["11140421MB1X000374"]

[limits]
waiting_pulls = 4
"""


def load(folder: Path, text: str = GOOD, **environment: str) -> Settings:
    """Return the settings of a file with *text*."""
    path = folder / "exchange.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environment)


def complaint(folder: Path, text: str = GOOD, **environment: str) -> str:
    """Return the one sentence in both languages."""
    with pytest.raises(ConfigurationError) as raised:
        load(folder, text, **environment)
    assert raised.value.text.zh != raised.value.text.en
    return raised.value.text.en


def test_a_file_is_read_with_paths_from_its_folder(tmp_path: Path) -> None:
    """Relative paths, the database's too, begin where the file stands; the rest has defaults."""
    settings = load(tmp_path)
    assert settings.listen == "127.0.0.1:5110"
    assert settings.database == f"sqlite:///{tmp_path}/data/bridge.db"
    assert (settings.log_key, settings.profiles) == (tmp_path / "log.key", (tmp_path / "own.toml",))
    assert settings.tls.certificate == tmp_path / "bridge.pem"
    assert settings.tls.key == Path("/etc/bridge.key")
    assert settings.networks == {"hotline12345.example": tmp_path / "gov.pem"}
    assert settings.relays == {"11140400MB1X00010Y": ("11140421MB1X000374",)}
    assert settings.limits == Limits(waiting_pulls=4)


@pytest.mark.parametrize(
    "url", ["sqlite:////var/bridge.db", "sqlite://", "postgresql://u:p@host/name"]
)
def test_other_databases_stay_as_written(tmp_path: Path, url: str) -> None:
    """Only an SQLite file's relative path is taken from the folder."""
    text = GOOD.replace("sqlite:///data/bridge.db", url)
    assert load(tmp_path, text).database == url


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    """Text, path, number and list each by its variable; variables that are no settings pass."""
    settings = load(
        tmp_path,
        EXCHANGE_LISTEN="0.0.0.0:1",
        EXCHANGE_TLS_KEY="other.key",
        EXCHANGE_LIMITS_WAITING_PULLS="9",
        EXCHANGE_PROFILES="a.toml, b.toml",
        PATH="/bin",
        **dict.fromkeys(NOT_SETTINGS, "x"),
    )
    assert (settings.listen, settings.limits.waiting_pulls) == ("0.0.0.0:1", 9)
    assert settings.tls.key == tmp_path / "other.key"
    assert settings.profiles == (tmp_path / "a.toml", tmp_path / "b.toml")


def test_the_environment_alone_can_fill_a_section(tmp_path: Path) -> None:
    """A container gives its secrets' paths without a table in the file."""
    text = GOOD.replace("[tls]", "").replace('certificate = "bridge.pem"', "")
    text = text.replace('key = "/etc/bridge.key"', "", 1)
    settings = load(tmp_path, text, EXCHANGE_TLS_KEY="k", EXCHANGE_TLS_CERTIFICATE="c")
    assert settings.tls.certificate == tmp_path / "c"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("database", "databse", "'databse': this key is not known; did you mean 'database'?"),
        ("[tls]", "[tls_]", "'tls_': this key is not known; did you mean 'tls'?"),
        ("certificate", "certifcate", "'tls.certifcate'"),
        ("waiting_pulls", "waiting_pull", "'limits.waiting_pull'"),
        ("waiting_pulls = 4", "waiting_pulls = 0", "'limits.waiting_pulls': must be 2 to 1024."),
        (
            "waiting_pulls = 4",
            'waiting_pulls = "4"',
            "'limits.waiting_pulls': expected a whole number",
        ),
        ('origin = "bridge.example/log/1"', "", "'origin': this key is missing"),
        ('"gov.pem"', "7", "'networks.hotline12345.example'"),
        ("origin =", "origin", "cannot be read"),
        ("origin", 'journal = "loud"\norigin', "'loud' is not known"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    """Path of the key, what is wrong, and the nearest right word or the bounds."""
    assert named in complaint(tmp_path, GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("EXCHANGE_LISTN", "x", "did you mean 'EXCHANGE_LISTEN'?"),
        ("EXCHANGE_LIMITS_WAITING_PULLS", "many", "must be a whole number"),
        ("EXCHANGE_LIMITS_WAITING_PULLS", "99999", "must be 2 to 1024"),
        ("EXCHANGE_NETWORKS", "x", "is no setting"),
    ],
)
def test_a_mistake_in_the_environment_is_named(
    tmp_path: Path, name: str, value: str, named: str
) -> None:
    """A misspelt variable would otherwise be silently without effect."""
    assert named in complaint(tmp_path, **{name: value})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With its path, and how to name another."""
    with pytest.raises(ConfigurationError, match=r"no configuration .*nowhere\.toml.*--config"):
        load_settings(tmp_path / "nowhere.toml")


def test_a_gateways_configuration_is_told_from_a_misspelt_one(tmp_path: Path) -> None:
    """Whoever names the wrong file learns whose it is, not that 'target' is no key."""
    gateways = 'target = "bridge.example:5110"\norganisation = "140400000000"\n'
    assert "is a gateway's configuration" in complaint(tmp_path, gateways)
    assert "'target'" in complaint(tmp_path, gateways + GOOD)


def test_every_setting_says_what_it_is_for(tmp_path: Path) -> None:
    """In both languages, by its path, with its value."""
    found = {path: (value, text) for path, value, text in describe(load(tmp_path))}
    assert found["limits.waiting_pulls"][0] == "4"
    assert found["networks"][0] == f"hotline12345.example = {tmp_path}/gov.pem"
    assert {"listen", "tls.key", "limits.request_bytes", "relays"} <= set(found)
    assert all(text.en and text.zh for _, text in found.values())


def test_the_description_keeps_the_password_to_itself(tmp_path: Path) -> None:
    """It is shown to whoever asks for help."""
    text = GOOD.replace("sqlite:///data/bridge.db", "postgresql://u:geheim@host/name")
    shown = {path: value for path, value, _ in describe(load(tmp_path, text))}
    assert shown["database"] == "postgresql://u:***@host/name"
