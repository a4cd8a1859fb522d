"""The rows of the settings' table: what each setting is called in every place, and how its value is read."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import fields

from waggle.node.config.settings import Settings

Value = str | int | float | bool | Path | tuple[str, ...]

SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
NONE = "none"
"""What the environment says for an empty list; an empty variable counts as not set."""


class Setting(Struct, frozen=True):
    """One setting; `kind` is its bare type: str, int, float, bool, tuple, Path or Literal."""

    name: str
    type: object
    kind: object
    default: Value
    meta: Meta

    @property
    def help(self) -> str:
        """One sentence for people."""
        return self.meta.description or ""

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"WAGGLE_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return self._extra("flag", f"--{self.name.replace('_', '-')}")

    @property
    def metavar(self) -> str:
        """What the help calls its value."""
        return self._extra("metavar", "N")

    @property
    def expects(self) -> str:
        """What its value must be, to go behind "must be"."""
        return self._extra("expects", self._described())

    def _extra(self, name: str, otherwise: str) -> str:
        return str((self.meta.extra or {}).get(name, otherwise))

    def _described(self) -> str:
        if self.kind in (int, float):
            return f"a {'whole ' if self.kind is int else ''}number from {self.meta.ge} to {self.meta.le}"
        if self.kind is Literal:
            return f"one of {', '.join(get_args(get_args(self.type)[0]))}"
        if self.kind is tuple:
            return 'a list of texts, like ["one", "two"]'
        return "true or false" if self.kind is bool else "a text"

    def read(self, value: object, *, strict: bool = True) -> Value:
        """The value in the setting's own type; a number may be written as text unless `strict`.

        Raises:
            ValueError: saying what it must be, not what it was, which may be a secret in the wrong place.
        """
        try:
            done = convert(value, self.type, strict=strict, dec_hook=_to_path)
        except (ValidationError, RecursionError):
            raise ValueError(f"must be {self.expects}") from None
        texts = done if isinstance(done, tuple) else (str(done),)
        if not all(text.isprintable() for text in texts):
            raise ValueError("holds characters that cannot be printed")
        return done  # type: ignore[no-any-return]

    def read_text(self, text: str) -> Value:
        """The value of an environment variable: lists have commas between their parts. Raises ValueError."""
        if self.kind is tuple:
            return self.read([] if text.lower() == NONE else [part.strip() for part in text.split(",")])
        if self.kind is bool:
            return self.read(SWITCH.get(text.lower(), text))
        return self.read(text, strict=False)


def _to_path(kind: type, value: object) -> Path:
    if kind is not Path or not isinstance(value, str) or not value:
        raise ValueError
    return Path(value)


def _row(name: str, annotated: object, default: Value) -> Setting:
    bare, *metas = get_args(annotated)
    shown = next(meta for meta in metas if meta.description)
    return Setting(name, annotated, get_origin(bare) or bare, default, shown)


def _rows() -> dict[str, Setting]:
    hints = get_type_hints(Settings, include_extras=True)
    return {field.name: _row(field.name, hints[field.name], field.default) for field in fields(Settings)}


SETTINGS: Mapping[str, Setting] = MappingProxyType(_rows())
"""Every setting by its name, in the order of the table."""
