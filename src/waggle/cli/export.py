"""`waggle export gguf`: a model as one file that llama.cpp's server serves."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from waggle.cli.shared import check_target, make_group, plain_console, progress_bars

app = make_group("Write a model in the format of other programs.")


class NumberTypes(StrEnum):
    """How a weight is written."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"


@app.callback()
def export() -> None:
    """Write a model in the format of other programs."""


@app.command("gguf")
def gguf(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, or the name of a bundled model.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.gguf", help="The file to write.")],
    numbers: Annotated[
        NumberTypes, typer.Option("--type", help="How weights are written; f32 answers as waggle itself does.")
    ] = NumberTypes.F32,
    force: Annotated[bool, typer.Option("--force", help="Write over the file if it is there.")] = False,
) -> None:
    """Write a model for llama.cpp and the servers built on it (Ollama, LM Studio).

    Llama, Qwen2 and Qwen3 models with a byte-level BPE tokenizer; anything else is refused with the reason.
    """
    from waggle.core.errors import UsageError
    from waggle.models.gguf import export_gguf

    folder = _folder(model)
    check_target(out)
    if out.exists() and not force:
        raise UsageError(f"{out} is there already: name another file, or add --force")
    with progress_bars() as tell:
        export_gguf(folder, out, numbers=numbers.value, tell=lambda done, total: tell("tensors", done, total))
    plain_console(stderr=True).print(f"{out.stat().st_size / 1e6:.1f} MB", soft_wrap=True)
    print(out)


def _folder(model: str) -> Path:
    """A folder is taken as it is; a bare name is one of the bundled models."""
    from waggle.models.hive import hive_folder

    folder = Path(model)
    return folder if folder.is_dir() else hive_folder(model.removeprefix("hive:"))
