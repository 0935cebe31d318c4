"""Settings come from defaults, files and the environment; whatever is wrong with one is said once and exactly."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from roadstead.errors import StartError
from roadstead.settings import places
from roadstead.settings.schema import Section, Settings, read_settings

SECTIONS = [
    pytest.param(field.annotation, id=name) for name, field in Settings.model_fields.items() if field.annotation
]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine take part."""
    for name in list(os.environ):
        if name.upper().startswith("ROADSTEAD_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(places, "SYSTEM_FILE", tmp_path / "etc.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """The machine's settings file, which does not exist yet."""
    return tmp_path / "etc.toml"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The user's settings file, which does not exist yet."""
    (tmp_path / "roadstead").mkdir()
    return tmp_path / "roadstead" / "roadstead.toml"


def test_without_any_file_the_defaults_hold() -> None:
    """A fresh machine needs no settings; these are the figures that the design names."""
    settings = read_settings()
    assert settings.link.user == "core"
    assert settings.link.engine_socket == "/var/run/docker.sock"
    assert settings.link.keepalive_seconds * settings.link.keepalive_count == 45
    assert settings.engine.answer_bytes == 8 * 2**20
    assert settings.engine.full_pass_seconds == 600
    assert settings.pool.absence_seconds == 2


def test_a_file_changes_what_it_names_and_nothing_else(own: Path) -> None:
    """The other fields of the same section keep their defaults."""
    own.write_text("[link]\nuser = 'admin'\n")
    settings = read_settings()
    assert (settings.link.user, settings.link.connect_seconds) == ("admin", 5.0)


def test_networks_are_read_one_by_one(own: Path) -> None:
    """With or without spaces, and what is no network is named with its setting."""
    own.write_text("[link]\nsources = '10.0.0.7/24, 2001:db8::1'\n")
    assert read_settings().link.from_networks == ("10.0.0.0/24", "2001:db8::1/128")
    own.write_text("[link]\nsources = '10.0.0.7/24,office'\n")
    with pytest.raises(StartError, match=r"link\.sources.*office"):
        read_settings()


def test_of_two_files_the_later_wins_field_by_field(system: Path, own: Path) -> None:
    """A user's file does not undo the other fields of a section that the machine's file set."""
    system.write_text("[link]\nuser = 'machine'\nconnect_seconds = 7\n")
    own.write_text("[link]\nuser = 'mine'\n")
    settings = read_settings()
    assert (settings.link.user, settings.link.connect_seconds) == ("mine", 7.0)


def test_the_environment_wins_over_files(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Again field by field."""
    own.write_text("[link]\nuser = 'file'\nconnect_seconds = 7\n")
    monkeypatch.setenv("ROADSTEAD_LINK__USER", "environment")
    settings = read_settings()
    assert (settings.link.user, settings.link.connect_seconds) == ("environment", 7.0)


def test_a_named_file_is_read_instead_of_the_usual_ones(own: Path, tmp_path: Path) -> None:
    """``--config`` replaces them."""
    own.write_text("[link]\nuser = 'usual'\n")
    named = tmp_path / "named.toml"
    named.write_text("[link]\nconnect_seconds = 7\n")
    settings = read_settings(named)
    assert (settings.link.user, settings.link.connect_seconds) == ("core", 7.0)


def test_the_environment_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ROADSTEAD_CONFIG`` does what ``--config`` does, and ``--config`` wins over it."""
    for name in ("first", "second"):
        (tmp_path / f"{name}.toml").write_text(f"[link]\nuser = '{name}'\n")
    monkeypatch.setenv("ROADSTEAD_CONFIG", str(tmp_path / "first.toml"))
    assert read_settings().link.user == "first"
    assert read_settings(tmp_path / "second.toml").link.user == "second"
    monkeypatch.setenv("ROADSTEAD_CONFIG", "")
    assert read_settings().link.user == "core"


@pytest.mark.parametrize("name", ["SERVER", "POOL", "LINK", "STATE", "SOCKET"])
def test_other_names_of_the_environment_are_no_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell in which ``ROADSTEAD_SERVER`` is set for the client can still start a server."""
    monkeypatch.setenv(f"ROADSTEAD_{name}", "http://127.0.0.1:8420")
    assert read_settings().server.feed_changes == Settings.model_fields["server"].default.feed_changes


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        pytest.param("[link]\nusr = 'x'\n", "link.usr", "no such setting", id="unknown-field"),
        pytest.param("[links]\nuser = 'x'\n", "links", "no such setting", id="unknown-section"),
        pytest.param("[link]\naddresses = 0\n", "link.addresses", "it must be at least 1", id="out-of-range"),
        pytest.param("[link]\naddresses = 'many'\n", "link.addresses", "it must be a whole number", id="wrong-type"),
        pytest.param("[link]\nconnect_seconds = inf\n", "link.connect_seconds", "finite", id="endless"),
        pytest.param("link = 3\n", "link", "it is a section", id="value-for-a-section"),
        pytest.param("[runtime]\nlog_level = 'loud'\n", "runtime.log_level", "info", id="not-one-of-these"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(own: Path, text: str, field: str, reason: str) -> None:
    """One error: the field, what is wrong with it, and the one file in which it stands."""
    own.write_text(text)
    with pytest.raises(StartError) as caught:
        read_settings()
    assert caught.value.code == "settings-invalid"
    assert caught.value.fields["field"] == field
    assert reason in caught.value.fields["reason"]
    assert caught.value.fields["path"] == str(own)


@pytest.mark.parametrize(
    ("name", "field"),
    [("LINK__ADDRESSES", "link.addresses"), ("LINK__USR", "link.usr"), ("LINKS__USER", "links")],
    ids=["value", "field", "section"],
)
def test_a_wrong_variable_is_named(name: str, field: str, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who mistyped a variable is not sent to a file."""
    own.write_text("[link]\naddresses = 3\n")
    monkeypatch.setenv(f"ROADSTEAD_{name}", "many")
    with pytest.raises(StartError) as caught:
        read_settings()
    assert caught.value.code == "settings-invalid"
    assert caught.value.fields["field"] == field
    assert caught.value.fields["path"] == f"the environment (ROADSTEAD_{name})"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"[link\nuser = 'x'\n", "it is not TOML (at line 1, column 6)", id="no-toml"),
        pytest.param(b"[link]\nuser = '\xff'\n", "it is not UTF-8", id="no-text"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(system: Path, own: Path, content: bytes, reason: str) -> None:
    """The one that is broken, and where; not all that were looked at."""
    system.write_text("[link]\nuser = 'fine'\n")
    own.write_bytes(content)
    with pytest.raises(StartError) as caught:
        read_settings()
    assert caught.value.code == "settings-unreadable"
    assert caught.value.fields == {"path": str(own), "reason": reason}
    assert "b'" not in str(caught.value)


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_named_file_that_is_missing_is_an_error(by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual files may be missing, one that was asked for may not."""
    missing = tmp_path / "nowhere.toml"
    if by == "environment":
        monkeypatch.setenv("ROADSTEAD_CONFIG", str(missing))
    with pytest.raises(StartError) as caught:
        read_settings(missing if by == "option" else None)
    assert caught.value.code == "settings-unreadable"
    assert caught.value.fields == {"path": str(missing), "reason": "there is no such file"}


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """What the system says of it reads plainly."""
    with pytest.raises(StartError) as caught:
        read_settings(tmp_path)
    assert caught.value.fields["reason"] == "is a directory"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_explained_and_frozen(section: type[Section]) -> None:
    """Each has a default and a whole sentence on its meaning, and nobody changes one at run time."""
    made = section()
    for name, field in section.model_fields.items():
        assert field.description is not None, name
        assert field.description.endswith("."), name
    with pytest.raises(ValidationError):
        setattr(made, next(iter(section.model_fields)), None)
