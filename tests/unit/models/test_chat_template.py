"""A chat template from a stranger decides layout and nothing else."""

import json
from pathlib import Path

import pytest

from waggle.core.errors import CheckpointError
from waggle.models.chat_template import ChatTemplate, find_template

HELLO = [{"role": "user", "content": "hello"}]
# The layout of Qwen's and Llama 3's templates: loops, conditions, trimming, a bos token, whitespace control.
USUAL = """{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'system' %}{% continue %}{% endif %}
    {{- '<|' + message['role'] + '|>\\n' + message['content'] | trim + '<|end|>\\n' }}
{%- endfor %}
{%- if tools %}{{ raise_exception('no tools') }}{% endif %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
{%- endif %}"""


def test_a_usual_template_is_rendered_again_and_again() -> None:
    counting = ChatTemplate("{% for i in range(9000) %}{% endfor %}{{ messages[0].content }}", {})
    assert [counting.render(HELLO) for _ in range(3)] == ["hello"] * 3


def test_a_usual_template_is_rendered() -> None:
    messages = [{"role": "system", "content": "quiet"}, {"role": "user", "content": " hello "}]
    text = ChatTemplate(USUAL, {"bos_token": "<s>"}).render(messages)
    assert text == "<s><|user|>\nhello<|end|>\n<|assistant|>\n"


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__.__mro__ }}{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ raise_exception.__globals__['os'] }}{{ raise_exception.__globals__.os }}",
        "{{ messages.append(1) }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        "{% for letter in messages[0].content * 9 %}x{% endfor %}",
        "{{ 'x' | center(1000000000) }}",
        "{{ raise_exception('no') }}",
        "{{ messages[0].content.missing.more }}",
        "{{ 1 / 0 }}",
        "{{ messages[7].content }}",
        "{{ messages | length + 'x' }}",
        "{% include '/etc/passwd' %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_a_template_that_reaches_out_or_grows_is_refused(source: str) -> None:
    with pytest.raises(CheckpointError, match="chat template"):
        ChatTemplate(source, {}).render(HELLO)


@pytest.mark.parametrize("source", ["{% if %}", "{{ 'x' ", "x" * 300_000, "{{ x | nofilter }}"])
def test_a_template_that_does_not_compile_is_refused(source: str) -> None:
    with pytest.raises(CheckpointError, match="chat template"):
        ChatTemplate(source, {})


def test_templates_are_found_where_folders_keep_them(tmp_path: Path) -> None:
    assert find_template(tmp_path) is None
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": [{"name": "default", "template": "A"}, {"name": "rag"}]}))
    assert find_template(tmp_path) == "A"
    config.write_text(json.dumps({"chat_template": "B"}))
    assert find_template(tmp_path) == "B"
    (tmp_path / "chat_template.jinja").write_text("C")
    assert find_template(tmp_path) == "C"


@pytest.mark.parametrize("template", ["7", '{"a": 1}', "[7]"])
def test_a_template_that_is_no_text_is_refused_or_absent(tmp_path: Path, template: str) -> None:
    (tmp_path / "tokenizer_config.json").write_text(f'{{"chat_template": {template}}}')
    if template == "[7]":
        assert find_template(tmp_path) is None
    else:
        with pytest.raises(CheckpointError, match="chat_template should be text"):
            find_template(tmp_path)
