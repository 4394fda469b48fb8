"""service.settings: the environment in, settings or all faults out."""

import os

import pytest

from service import settings
from service.settings import Settings, SettingsError


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith(settings.PREFIX)]:
        monkeypatch.delenv(name)


def test_no_setting_is_needed() -> None:
    """Without any variable the documented defaults hold."""
    chosen = settings.load()
    assert chosen.model_dump() == {name: field.default for name, field in Settings.model_fields.items()}
    assert (chosen.host, chosen.port, chosen.models) == ("127.0.0.1", 8000, None)
    assert (chosen.text_limit, chosen.batch_limit) == (20_000, 1_000)


def test_every_setting_has_a_default_and_a_description() -> None:
    """No setting is required and each says what it is."""
    for field in Settings.model_fields.values():
        assert not field.is_required()
        assert field.description
        assert field.description.endswith(".")


def test_variables_are_read_and_arguments_outrank_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable sets its field; an argument that is given wins, one that is None does not."""
    monkeypatch.setenv("RUSE_PORT", "9000")
    monkeypatch.setenv("RUSE_HOST", "::1")
    monkeypatch.setenv("RUSE_TEXT_LIMIT", "")
    chosen = settings.load(host=None, port=9001)
    assert (chosen.host, chosen.port, chosen.text_limit) == ("::1", 9001, 20_000)


def test_all_faults_come_at_once_without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong settings are all named, with the default, and none of their values is shown."""
    monkeypatch.setenv("RUSE_PORT", "kestrel")
    monkeypatch.setenv("RUSE_BODY_LIMIT", "-77777")
    monkeypatch.setenv("RUSE_GRACE", "1.5")
    with pytest.raises(SettingsError) as caught:
        settings.load()
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.faults) == 3
    for line, name, default in zip(
        lines,
        ("RUSE_PORT", "RUSE_BODY_LIMIT", "RUSE_GRACE"),
        ("8000", "8388608", "30"),
        strict=True,
    ):
        assert line.startswith(f"{name}: ")
        assert f"default is {default}" in line
    assert "kestrel" not in str(caught.value)
    assert "77777" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", "65536"), ("port", "-1"), ("text_limit", "0"), ("batch_limit", "0"),
     ("body_limit", "10"), ("read_timeout", "0"), ("read_timeout", "nan"), ("threads", "0")],
)  # fmt: skip
def test_bounds_hold(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A value out of its bounds is refused."""
    monkeypatch.setenv(settings.variable(name), value)
    with pytest.raises(SettingsError, match=settings.variable(name)):
        settings.load()


def test_a_misspelt_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that begins like a setting and is none is listed; real ones are not."""
    monkeypatch.setenv("RUSE_PROT", "1")
    monkeypatch.setenv("RUSE_PORT", "1")
    assert settings.unknown() == ("RUSE_PROT",)


def test_settings_do_not_change() -> None:
    """Settings are values: assigning to one fails."""
    with pytest.raises(ValueError, match="frozen"):
        settings.load().port = 1
