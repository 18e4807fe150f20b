# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The prompt network on disk: a folder with `prompt.json` and one graph, beside the models."""

from __future__ import annotations

from collections.abc import Callable
import hashlib
import json
from pathlib import Path

from vos_ros.backends import is_file, model_folders
from vos_ros.config import InitConfig
from vos_ros.datatypes import Float
from vos_ros.errors import VosError

CARD = 'prompt.json'
DEFAULT = InitConfig().prompt_model
_FORMAT = 1
_MOST_NBYTES = 64 << 20
Network = Callable[[Float, Float], tuple[Float, Float]]


def known_prompt_models() -> dict[str, Path]:
    """Return name -> folder of every prompt model found; where a name is twice, the first wins."""
    found: dict[str, Path] = {}
    for folder in model_folders():
        for card in sorted(folder.glob(f'*/{CARD}')):
            found.setdefault(card.parent.name, card.parent)
    return found


def open_prompt_network(model: str | Path = DEFAULT, threads: int = 1) -> Network:
    """
    Open a prompt network on the processor.

    :param model: a name among the known ones, or the path of a folder.
    :param threads: for it alone; 0 = the processors there are, at most 4.
    :return: image (N, 3, S, S) RGB 0..255 and maps (N, M, S, S) -> logits (N, S/2, S/2) and
        quality (N,), see `vos_ros.engine.prompter`.
    :raises VosError: there is no such model, or it is damaged.
    """
    known = known_prompt_models()
    is_name = len(Path(model).parts) == 1 and str(model) in known
    folder = known[str(model)] if is_name else Path(model)
    path = folder / CARD
    if not is_file(path):
        names = ', '.join(known) or 'none'
        raise VosError(
            f'unknown prompt model {str(model)!r}: neither a known name ({names}) nor a folder '
            f"with a {CARD}; '' takes GrabCut"
        )
    try:
        content = json.loads(path.read_text())
        if content['format'] != _FORMAT:
            raise ValueError(f'format {content["format"]!r} is not {_FORMAT}')
        file, sha256 = str(content['graph']['file']), content['graph']['sha256']
        if not file.isprintable() or Path(file).name != file:
            raise ValueError(f'the graph {file!r} is no file in the folder of the model')
        graph = folder / file
        if graph.stat().st_size > _MOST_NBYTES:
            raise ValueError(f'{file} is larger than any prompt network')
        weights = graph.read_bytes()
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        reason = f'{error} is missing' if isinstance(error, KeyError) else str(error)
        raise VosError(f'{path} is no prompt model: {reason}; fetch or export it again') from None
    found = hashlib.sha256(weights).hexdigest()
    if found != sha256:
        raise VosError(
            f'prompt model {folder.name}: {graph} is corrupt or was replaced: sha256 expected '
            f'{sha256}, found {found}; fetch or export it again'
        )
    try:
        from vos_ros.backends.onnx_backend import open_graph
    except ImportError as error:
        raise VosError(f'a prompt model needs onnxruntime ({error})') from None
    return open_graph(weights, f'prompt model {folder.name}', threads)
