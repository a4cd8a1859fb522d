"""Settings: who overrules whom, where each came from, and how every mistake is told."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

import waggle
from waggle.core.errors import UsageError
from waggle.node.config.example import example
from waggle.node.config.load import Configuration, load_settings
from waggle.node.config.settings import Settings
from waggle.node.config.table import SETTINGS
from waggle.node.config.tomlfile import MOST_BYTES


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def load(
    here: Path,
    flags: Mapping[str, object] | None = None,
    config: str | None = None,
    variables: Mapping[str, str] | None = None,
    **more: str,
) -> Configuration:
    """The settings in an environment that holds these variables and no others."""
    environment = {"WAGGLE_HOME": str(here.parent / "home")} | dict(variables or {}) | more
    return load_settings(flags, config=config, environment=environment, folder=here)


def refusal(here: Path, text: str | bytes) -> str:
    """What is said of a waggle.toml with this text, without its folder."""
    (here / "waggle.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError) as caught:
        load(here)
    return str(caught.value).replace(f"{here}/", "")


def test_without_a_word_everything_is_default(here: Path) -> None:
    got = load_settings({}, environment={}, folder=here)
    assert got.settings == msgspec.structs.replace(Settings(), home=Path.home() / ".waggle")
    assert set(got.origins) == set(SETTINGS)
    assert set(got.origins.values()) == {"default"}
    assert (got.file, got.warnings) == (None, ())


def test_flags_overrule_the_environment_which_overrules_the_file(here: Path) -> None:
    (here / "waggle.toml").write_text("capacity = 2\nqueue = 2\nmax_nodes = 2\n")
    got = load(here, {"capacity": "4", "name": None, "engines": []}, WAGGLE_CAPACITY="3", WAGGLE_QUEUE="3")
    assert (got.settings.capacity, got.settings.queue, got.settings.max_nodes) == (4, 3, 2)
    assert got.settings.queue_per_asker == Settings().queue_per_asker
    assert got.origins["capacity"] == "--capacity"
    assert got.origins["queue"] == "WAGGLE_QUEUE"
    assert got.origins["max_nodes"] == f"{here}/waggle.toml, line 3"
    assert got.origins["queue_per_asker"] == "default"
    assert got.file == here / "waggle.toml"


def test_every_setting_can_be_given_in_all_three_places(here: Path) -> None:
    given = {
        "home": "/h", "name": "ant", "network": "n", "listen": ["/ip4/1.2.3.4/tcp/1", "b"], "announce": ["c"],
        "join": ["d"], "relays": ["e"], "serve_as_relay": True, "port_map": True, "multicast": False,
        "remember": False, "price": 3, "engines": ["f"], "key_variable": "G", "capacity": 1, "queue": 0,
        "queue_per_asker": 1, "max_nodes": 1, "budget_tokens": 1,
        "budget_seconds": 1.5, "min_confidence": 1.0, "hedge_factor": 1.25, "log_level": "debug",
        "log_format": "json", "log_prompts": True, "history": "answers", "gateway_port": 0, "gateway_host": "h",
        "gateway_hosts": ["i"], "gateway_origins": ["https://j"], "gateway_open_metrics": True,
    }  # fmt: skip
    assert set(given) == set(SETTINGS)
    wanted = msgspec.convert(given, Settings, dec_hook=lambda kind, value: Path(value))
    file = here / "all.toml"
    file.write_text("\n".join(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in given.items()))
    assert load(here, config="all.toml", WAGGLE_HOME="").settings == wanted
    texts = {k: ", ".join(v) if isinstance(v, list) else str(v) for k, v in given.items()}
    assert load(here, variables={SETTINGS[key].variable: text for key, text in texts.items()}).settings == wanted
    flags = {k: v if isinstance(v, list | bool) else str(v) for k, v in given.items()}
    assert load(here, flags).settings == wanted


def test_no_setting_is_read_by_nobody() -> None:
    source = Path(waggle.__file__).parent
    texts = [path.read_text() for folder in ("cli", "node") for path in (source / folder).rglob("*.py")]
    unread = [name for name in SETTINGS if not any(re.search(rf"\bsettings\.{name}\b", text) for text in texts)]
    assert unread == []


def test_the_file_is_the_named_one_then_the_one_here_then_the_one_at_home(here: Path, home: Path) -> None:
    assert load(here).file is None
    (home / "waggle.toml").write_text('name = "at-home"')
    assert load(here).settings.name == "at-home"
    (here / "waggle.toml").write_text('name = "here"')
    assert load(here).settings.name == "here"
    (here / "a.toml").write_text('name = "variable"')
    assert load(here, WAGGLE_CONFIG="a.toml").settings.name == "variable"
    (here / "b.toml").write_text('name = "flag"')
    assert load(here, config="b.toml", WAGGLE_CONFIG="a.toml").settings.name == "flag"


def test_a_flag_says_which_home_the_file_is_read_from(here: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "waggle.toml").write_text("capacity = 9")
    assert load(here, {"home": str(tmp_path / "other")}).settings.capacity == 9


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_named_file_that_cannot_be_read_is_refused(here: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"^cannot read {here}"):
        load(here, config=name)
    with pytest.raises(UsageError, match=f"^cannot read {here}"):
        load(here, WAGGLE_CONFIG=name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a\nlisen = []",
            "waggle.toml is not TOML: Expected '=' after a key in a key/value pair (at line 1, column 2)",
        ),
        ("\nlisen = []", "waggle.toml, line 2: there is no setting 'lisen'; did you mean listen?"),
        (
            "min-confidence = 1",
            "waggle.toml, line 1: there is no setting 'min-confidence'; did you mean min_confidence?",
        ),
        ("xyzzy = 1", "waggle.toml, line 1: there is no setting 'xyzzy'"),
        ("[mesh]\nname = 'x'", "waggle.toml, line 1: there is no setting 'mesh'; settings stand outside sections"),
        ("capacity = 0", "waggle.toml, line 1: capacity must be a whole number from 1 to 256"),
        ("capacity = true", "waggle.toml, line 1: capacity must be a whole number from 1 to 256"),
        ("capacity = '4'", "waggle.toml, line 1: capacity must be a whole number from 1 to 256"),
        ("min_confidence = nan", "waggle.toml, line 1: min_confidence must be a number from 0.0 to 1.0"),
        ("budget_seconds = inf", "waggle.toml, line 1: budget_seconds must be a number from 0.1 to 86400.0"),
        ("multicast = 'on'", "waggle.toml, line 1: multicast must be true or false"),
        ("listen = '/ip4'", 'waggle.toml, line 1: listen must be a list of texts, like ["one", "two"]'),
        ("listen = ['']", 'waggle.toml, line 1: listen must be a list of texts, like ["one", "two"]'),
        ("log_level = 'loud'", "waggle.toml, line 1: log_level must be one of debug, info, warning, error"),
        ("gateway_port = 65536", "waggle.toml, line 1: gateway_port must be a whole number from -1 to 65535"),
        ("history = true", "waggle.toml, line 1: history must be one of all, answers, off"),
        ("home = 1", "waggle.toml, line 1: home must be a text"),
        ("home = ''", "waggle.toml, line 1: home must be a text"),
        ("name = 1979-05-27", "waggle.toml, line 1: name must be at most 63 letters, digits, dots, dashes or"),
        ("name = '../x'", "waggle.toml, line 1: name must be at most 63 letters, digits, dots, dashes or"),
        ('name = "x\\n"', "waggle.toml, line 1: name must be at most 63 letters, digits, dots, dashes or"),
        ('join = ["a\\u0000b"]', "waggle.toml, line 1: join holds characters that cannot be printed"),
        ("x=" + "[" * 100_000, "waggle.toml is not TOML"),
        (b"\xff", "waggle.toml is not UTF-8 text"),
        (b"#" * (MOST_BYTES + 1), "waggle.toml is too large for settings: it has more than 1024 KiB"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_place_and_remedy(here: Path, text: str | bytes, told: str) -> None:
    assert refusal(here, text).startswith(told)


def test_a_line_is_only_named_where_it_is_plain(here: Path) -> None:
    text = "capacity.x = 1\n[capacity.y]"
    assert refusal(here, text) == "waggle.toml: capacity must be a whole number from 1 to 256"


def test_a_byte_order_mark_is_no_mistake(here: Path) -> None:
    (here / "waggle.toml").write_bytes(b"\xef\xbb\xbfcapacity = 3")
    assert load(here).settings.capacity == 3


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("WAGGLE_CAPACITY", "many", "WAGGLE_CAPACITY must be a whole number from 1 to 256"),
        ("WAGGLE_CAPACITY", "257", "WAGGLE_CAPACITY must be a whole number from 1 to 256"),
        ("WAGGLE_HEDGE_FACTOR", "nan", "WAGGLE_HEDGE_FACTOR must be a number from 1.0 to 100.0"),
        ("WAGGLE_MULTICAST", "perhaps", "WAGGLE_MULTICAST must be true or false"),
        ("WAGGLE_LISTEN", "a,,b", "WAGGLE_LISTEN must be a list of texts"),
        ("WAGGLE_HOME", "~no-such-user/x", "there is no such home folder: set WAGGLE_HOME to the full path"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(here: Path, variable: str, text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(here, variables={variable: text})
    assert str(caught.value).startswith(told)


def test_a_mistake_in_a_flag_names_the_flag(here: Path) -> None:
    with pytest.raises(UsageError, match=r"^--budget-seconds must be a number"):
        load(here, {"budget_seconds": "soon"})
    with pytest.raises(UsageError, match=r"^--relay must be a list of texts"):
        load(here, {"relays": ["a", ""]})
    with pytest.raises(UsageError, match=r"^--name must be"):
        load(here, {"name": ""})


@pytest.mark.parametrize(("on", "off"), [("1", "0"), ("true", "false"), ("Yes", "No"), ("ON", "OFF")])
def test_switches_are_thrown_in_the_usual_words(here: Path, on: str, off: str) -> None:
    settings = load(here, WAGGLE_PORT_MAP=on, WAGGLE_MULTICAST=off).settings
    assert (settings.port_map, settings.multicast) == (True, False)


def test_an_empty_variable_counts_as_none_and_none_empties_a_list(here: Path) -> None:
    (here / "waggle.toml").write_text('join = ["waggle:///a"]')
    assert load(here, WAGGLE_JOIN=" ").settings.join == ("waggle:///a",)
    got = load(here, WAGGLE_JOIN="none")
    assert (got.settings.join, got.origins["join"]) == ((), "WAGGLE_JOIN")


def test_a_variable_that_is_none_of_ours_draws_a_warning_with_the_nearest_one(here: Path) -> None:
    got = load(here, WAGGLE_LISTN="x", WAGGLE_PORT="tcp://10.0.0.1", WAGGLE_TRACEBACK="1", WAGGLE_TEST_X="1", OTHER="x")
    assert got.warnings == (
        "the environment variable WAGGLE_LISTN is none of waggle's; did you mean WAGGLE_LISTEN?",
        "the environment variable WAGGLE_PORT is none of waggle's; did you mean WAGGLE_PORT_MAP?",
    )


def test_the_variable_that_holds_the_key_draws_no_warning(here: Path) -> None:
    assert load(here, WAGGLE_KEY="secret", WAGGLE_KEY_VARIABLE="WAGGLE_KEY").warnings == ()


def test_a_key_in_place_of_its_variables_name_is_refused_and_not_repeated(here: Path) -> None:
    with pytest.raises(UsageError, match="not the key itself") as caught:
        load(here, WAGGLE_KEY_VARIABLE="sk-12345")
    assert "12345" not in str(caught.value)


SERVER = 'engines = ["http://evil.example/v1#m"]\n'


@pytest.mark.parametrize("key", ["file", "environment", "flag"])
def test_a_file_that_only_lies_here_cannot_send_our_key_to_its_servers(here: Path, key: str) -> None:
    file = here / "waggle.toml"
    file.write_text(SERVER + ('key_variable = "K"\n' if key == "file" else ""))
    flags, variables = {"key_variable": "K" if key == "flag" else None}, {"WAGGLE_KEY_VARIABLE": "K"}
    more = variables if key == "environment" else {}
    with pytest.raises(UsageError, match=r"your key would be sent to; .* --config waggle.toml"):
        load(here, flags, variables=more)
    assert load(here, flags, "waggle.toml", more).settings.key_variable == "K"
    assert load(here, flags | {"engines": ["http://mine/v1#m"]}, variables=more).settings.key_variable == "K"


def test_the_file_at_home_may_name_servers_and_key(here: Path, home: Path) -> None:
    (home / "waggle.toml").write_text(SERVER + 'key_variable = "K"')
    assert load(here).settings.key_variable == "K"


def test_a_file_here_that_others_can_write_is_passed_over_with_a_warning(here: Path, home: Path) -> None:
    (here / "waggle.toml").write_text("capacity = 3")
    (here / "waggle.toml").chmod(0o646)
    (home / "waggle.toml").write_text("capacity = 4")
    got = load(here)
    assert got.settings.capacity == 4
    assert "is not read: somebody else can write it" in got.warnings[0]
    assert load(here, config="waggle.toml").settings.capacity == 3


def test_a_file_here_of_somebody_else_is_passed_over(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = here / "waggle.toml"
    file.write_text("capacity = 3")
    if os.getuid() == 0:  # what the system's owner wrote is trusted
        os.chown(file, 4321, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4321)
    got = load(here)
    assert (got.file, len(got.warnings)) == (None, 1)


def test_a_home_is_a_full_path(here: Path) -> None:
    assert load(here, WAGGLE_HOME="~/bees").settings.home == Path.home() / "bees"
    assert load(here, WAGGLE_HOME="bees").settings.home == Path.cwd() / "bees"


def test_the_example_holds_every_setting_at_its_default(here: Path) -> None:
    lines = [line.removeprefix("# ") for line in example().splitlines() if " = " in line]
    (here / "waggle.toml").write_text("\n".join(lines))
    assert list(tomllib.loads("\n".join(lines))) == list(SETTINGS)
    assert load(here, WAGGLE_HOME="").settings == load_settings(environment={}, folder=here.parent).settings
    assert all(setting.variable in example() and setting.flag in example() for setting in SETTINGS.values())


def test_the_example_as_it_is_changes_nothing(here: Path) -> None:
    (here / "waggle.toml").write_text(example())
    assert set(load(here, WAGGLE_HOME="").origins.values()) == {"default"}


def test_the_docs_show_the_example() -> None:
    page = Path(__file__).parents[3] / "docs" / "configuration.md"
    assert f"```toml\n{example()}```" in page.read_text(), "paste what waggle config --example prints"


def test_the_table_has_no_clashes_and_a_sentence_for_everything() -> None:
    rows = SETTINGS.values()
    assert len({row.flag for row in rows}) == len({row.variable for row in rows}) == len(rows)
    assert all(row.help.endswith(".") and len(row.help) <= 120 for row in rows)
    assert all(row.read(row.default if row.kind is not Path else str(row.default)) == row.default for row in rows)
    numbers = [row for row in rows if row.kind in (int, float)]
    assert all(row.meta.ge is not None and row.meta.le is not None for row in numbers)
