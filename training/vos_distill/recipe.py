# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that decides a training run, read from YAML."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, Field, field, fields
import math
from pathlib import Path
from typing import Any, cast

import yaml

from vos_distill.clip_config import ClipConfig

MAX_BAD_SHARE = 0.1  # of a data set that cannot be used, before it is refused
# What may differ when a run goes on: how long and how fast, not what is learnt from which clip.
FREE_TO_CHANGE = ('steps', 'save_every', 'log_every', 'workers', 'max_bad_share')

_SHARE = (0.0, 1.0)
_FROM_0 = (0.0, math.inf)
_FROM_1 = (1, math.inf)
_LEAST = math.ulp(0.0)  # the smallest number above 0
_ABOVE_0 = (_LEAST, math.inf)
# Smallest and largest value of every key that is a number.
BOUNDS: dict[str, tuple[float, float]] = {
    'teacher_until': _SHARE,
    'segmentation_weight': _FROM_0,
    'logit_weight': _FROM_0,
    'representation_weight': _FROM_0,
    'attention_weight': _FROM_0,
    'intra_weight': _FROM_0,
    'inter_weight': _FROM_0,
    'omega': _SHARE,
    'temperature': _ABOVE_0,
    'pixels': (2, math.inf),  # of two classes
    'merge': _SHARE,
    'merges': _FROM_1,
    'steps': _FROM_1,
    'batch': _FROM_1,
    'rate': _ABOVE_0,
    'backbone_rate': _FROM_0,
    'frozen_stages': _FROM_0,
    'warmup': _FROM_0,
    'final_rate': _SHARE,
    'weight_decay': _FROM_0,
    'clip_gradient': _ABOVE_0,
    'ema': _SHARE,
    'hard_from': _SHARE,
    'hard_share': (_LEAST, 1.0),
    'poly': (-1.0, math.inf),  # below, the gradient points the wrong way for a pixel that is sure
    'dice_weight': _FROM_0,
    'propagated_weight': _FROM_0,
    'drop_recent': _SHARE,
    'leak': _SHARE,
    'drop_prompted': _SHARE,
    'spoil_revealed': _SHARE,
    'confuse_prompted': _SHARE,
    'seed': (0, 2**63 - 1),
    'workers': _FROM_0,
    'save_every': _FROM_1,
    'log_every': _FROM_1,
    'max_bad_share': _SHARE,
    'clip.size': (32, math.inf),
    'clip.frames': (2, math.inf),
    'clip.real': _SHARE,
    'clip.max_gap': _FROM_1,
    'clip.speed': _FROM_0,
    'clip.camera_speed': _FROM_0,
    'clip.rotation_deg': _FROM_0,
    'clip.zoom': _FROM_0,
    'clip.shear': _FROM_0,
    'clip.bend': _FROM_0,
    'clip.spline': _SHARE,
    'clip.paste_on_real': _SHARE,
    'clip.occluder': _SHARE,
    'clip.bars': _SHARE,
    'clip.blur': _SHARE,
    'clip.jpeg': _SHARE,
    'clip.twin': _SHARE,
    'clip.crossing': _SHARE,
    'clip.beside': _SHARE,
    'clip.linger': _SHARE,
    'clip.turn': _SHARE,
    'clip.reveal': _SHARE,
    'clip.enter': _SHARE,
    'clip.jump': _SHARE,
    'clip.max_jump': _FROM_1,
}


@dataclass
class Recipe:
    """
    Everything that decides a run; unknown keys in the YAML are refused.

    :param init: weights to start from: `student.pt` of an earlier stage, an exported model's
        folder, or ''.
    :param memory: `finite` is the robot's, {first, most recent}; `infinite` keeps every frame
        and is for teachers.
    :param teacher: `student.pt` of a trained teacher (or student), or ''.
    :param teacher_until: share of the run after which it goes on as if there were no teacher, and
        faster. A student that has passed its teacher learns more without it (Cho and
        Hariharan, ICCV 2019: early-stopped distillation).
    :param segmentation_weight: of the loss on true masks when there is a teacher; 0 leaves the
        teacher alone to show how.
    :param logit_weight: of the distilled class distributions, at `temperature`.
    :param representation_weight: of the pixel-pair loss, with `omega` between labels (0) and
        teacher (1), over `pixels` of each object and frame.
    :param attention_weight: of the attention maps (CKA); it grows from 0 over the first tenth.
    :param intra_weight: of the relations between the pixels of an object.
    :param inter_weight: of the relations between the objects at a pixel.
    :param labels: what counts as true after the first frame: `gt` the labels of the data,
        `teacher` what the teacher finds from the first mask alone (where it is sure), `mixed`
        the one or the other for each clip.
    :param boundary: both on the boundary band first; False draws from everywhere.
    :param imagenet: weights of the backbone, .npz or .pth, relative to the data or absolute; ''.
    :param clip: what the clips look like.
    :param merge: probability that the objects of a second clip are laid over a clip, as AOT
        does: up to four objects then.
    :param merges: clips that may be laid over it, each with that probability if the one before
        was: up to 2 * (merges + 1) objects.
    :param batch: clips a step, over all processes together.
    :param rate: AdamW's learning rate at its height, for the heads.
    :param warmup: steps up to it; a cosine then leads down to `final_rate` of it.
    :param ema: share of the averaged weights that a step keeps.
    :param drop_recent: probability that a clip's recent row holds the prompted frame, a frame.
    :param leak: probability that the student finds, in its recent row, a part of one object given
        to another, in a clip that shows several.
    :param drop_prompted: probability that a clip's prompted row holds the most recent frame from
        some frame on: what the prompted frame does not know is no evidence against an object.
    :param fall_back: an object of whose mask nothing or only something doubtful is left reads the
        prompted frame alone on the next frame, as in the node.
    :param spoil_revealed: probability that the most recent mask of a clip that reveals a part of
        an object is spoilt, as if that part had been missed.
    :param confuse_prompted: probability that the prompted rows of a clip's objects are mixed with
        each other's from some frame on: of two that look alike, where they just were says more.
    :param families: how often real clips are taken, by the begin of SET/CLIP: {mixed2017/sbi: 1.0,
        mixed2017/vsb: 3.0}. Empty = by their length alone.
    :param save_every: steps between checkpoints.
    :param log_every: steps that a row of the metrics is the mean of.
    :param frozen_stages: stages of the backbone, from the front, that never change.
    :param frozen_bn: BatchNorm keeps its statistics, as STCN's does; False is for presets that
        have BatchNorm, and the statistics are those of one process.
    :param backbone_rate: factor on the learning rate for the rest of the backbone.
    :param hard_from: share of the run after which the hardest pixels start to count alone.
    :param hard_share: share of the pixels that count at the end.
    :param poly: epsilon of PolyLoss-1 on the cross entropy; 0 is the plain cross entropy.
    :param workers: processes that make clips, for each training process; or auto, by the
        processors that there are.
    :param max_bad_share: of each data set's files that may be unusable and are left out.
    """

    preset: str = 'fast_r18'
    stills: str = 'static'
    videos: list[str] = field(default_factory=lambda: ['davis2016', 'davis2017'])
    init: str = ''
    memory: str = 'finite'
    teacher: str = ''
    teacher_until: float = 1.0
    segmentation_weight: float = 1.0
    logit_weight: float = 1.0
    representation_weight: float = 1.0
    attention_weight: float = 0.0
    intra_weight: float = 0.0
    inter_weight: float = 0.0
    labels: str = 'gt'
    omega: float = 0.95
    temperature: float = 0.1
    pixels: int = 1024
    boundary: bool = True
    imagenet: str = ''
    clip: ClipConfig = field(default_factory=ClipConfig)
    merge: float = 0.0
    merges: int = 1
    steps: int = 6000
    batch: int = 4
    rate: float = 6e-4
    backbone_rate: float = 0.1
    frozen_stages: int = 3
    frozen_bn: bool = True
    warmup: int = 40
    final_rate: float = 0.02
    weight_decay: float = 1e-3
    clip_gradient: float = 3.0
    ema: float = 0.998
    hard_from: float = 0.4
    hard_share: float = 0.25
    poly: float = 0.0
    dice_weight: float = 0.5
    propagated_weight: float = 0.5
    drop_recent: float = 0.1
    leak: float = 0.0
    drop_prompted: float = 0.0
    spoil_revealed: float = 0.0
    fall_back: bool = False
    confuse_prompted: float = 0.0
    families: dict[str, float] = field(default_factory=dict)
    amp: bool = True
    seed: int = 0
    workers: int | str = 1
    save_every: int = 100
    log_every: int = 50
    max_bad_share: float = MAX_BAD_SHARE

    @classmethod
    def read(cls, path: Path) -> 'Recipe':
        """
        Read a YAML recipe.

        :raises ValueError: as `of`, or no such file; names the path.
        """
        return cls.of(read_yaml(path), str(path))

    @classmethod
    def of(cls, keys: dict[str, Any], path: str) -> 'Recipe':
        """
        Build a recipe from its keys.

        :param path: where they are from, for the message.
        :raises ValueError: unknown key (lists the known ones), a value of the wrong kind or out of
            its range.
        """
        raw = dict(keys)
        known = {f.name: f for f in fields(cls)}
        clip_known = {f.name: f for f in fields(ClipConfig)}
        clip = raw.pop('clip', {})
        if not isinstance(clip, dict):
            raise ValueError(f'{path}: clip must be keys and values, not {clip!r}')
        wrong = sorted(set(raw) - set(known)) + sorted(
            f'clip.{k}' for k in set(map(str, clip)) - set(clip_known)
        )
        if wrong:
            raise ValueError(
                f'{path}: unknown {", ".join(wrong)}; known are {", ".join(sorted(known))} '
                f'and clip.{{{", ".join(sorted(clip_known))}}}'
            )
        for name, value in raw.items():
            _check_value(path, name, value, known[name])
        for name, value in clip.items():
            _check_value(path, f'clip.{name}', value, clip_known[name])
        if raw.get('memory', 'finite') not in ('finite', 'infinite'):
            raise ValueError(f"{path}: memory must be finite or infinite, not '{raw['memory']}'")
        if raw.get('labels', 'gt') not in ('gt', 'teacher', 'mixed'):
            raise ValueError(f"{path}: labels must be gt, teacher or mixed, not '{raw['labels']}'")
        if raw.get('labels', 'gt') != 'gt' and not raw.get('teacher'):
            raise ValueError(f'{path}: labels: {raw["labels"]} needs a teacher')
        try:
            return cls(clip=ClipConfig(**clip), **raw)
        except ValueError as error:  # points of gap_schedule out of order
            raise ValueError(f'{path}: {error}') from error

    def write(self, path: Path) -> None:
        """Write the YAML that `read` reads."""
        path.write_text(yaml.safe_dump(asdict(self), sort_keys=False))

    def differences(self, other: 'Recipe') -> list[str]:
        """Name the keys in which two recipes differ and which decide what is learnt."""
        mine, theirs = _flat(self), _flat(other)
        return [k for k in mine if k not in FREE_TO_CHANGE and mine[k] != theirs[k]]


def _flat(recipe: Recipe) -> dict[str, Any]:
    # by way of YAML, as what was written and read again has lists for tuples
    keys: dict[str, Any] = yaml.safe_load(yaml.safe_dump(asdict(recipe)))
    clip = keys.pop('clip')
    return {**keys, **{f'clip.{k}': v for k, v in clip.items()}}


def _check_value(path: str, name: str, value: object, item: Field[Any]) -> None:
    """Refuse a value of the wrong kind or out of its range."""
    if name == 'workers' and value == 'auto':
        return
    _check_kind(f'{path}: {name}', value, item)
    if item.name == 'videos' and not all(isinstance(one, str) for one in _list(value)):
        raise ValueError(f'{path}: {name} must be names of folders, not {value!r}')
    if item.name == 'families':
        shares = cast(dict[object, object], value)
        if not all(isinstance(k, str) and _is_number(v) and v >= 0 for k, v in shares.items()):  # type: ignore[operator]  # a number by then
            raise ValueError(f'{path}: {name} must be names with weights from 0, not {value!r}')
    if item.name == 'gap_schedule' and not all(_is_point(one) for one in _list(value)):
        raise ValueError(
            f'{path}: {name} must be points [share of the run 0..1, frames from 1], not {value!r}'
        )
    if name in BOUNDS:
        _check_range(f'{path}: {name}', cast(float, value), *BOUNDS[name])
    if name == 'clip.size' and cast(int, value) % 16:
        raise ValueError(f'{path}: {name} must be a multiple of 16, not {value!r}')


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if low <= value <= high and math.isfinite(value):
        return
    least = 'above 0' if low == _LEAST else f'{low:g} or more'
    most = f', {high:g} at most' if math.isfinite(high) else ''
    raise ValueError(f'{name} must be {least}{most}, not {value!r}')


def _list(value: object) -> list[Any]:
    return list(cast(Iterable[Any], value))


def _is_point(value: object) -> bool:
    is_pair = isinstance(value, (list, tuple)) and len(value) == 2
    return is_pair and all(_is_number(one) and math.isfinite(one) for one in _list(value))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def read_yaml(path: Path) -> dict[str, Any]:
    """
    Read a YAML file of keys and values; an empty one has none.

    :raises ValueError: not readable, broken, or something else than text keys with values; names
        the path.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise ValueError(f'{path}: cannot be read ({error.strerror})') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = ' '.join(str(error).split())
        raise ValueError(f'{path}: not valid YAML ({reason})') from error
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise ValueError(f'{path}: must be keys and values (key: value), not {raw!r:.60}')
    strange = [key for key in raw if not isinstance(key, str)]
    if strange:
        raise ValueError(f'{path}: the key {strange[0]!r} must be text')
    return raw


def _check_kind(name: str, value: object, item: Field[Any]) -> None:
    kinds = {'videos': list, 'gap_schedule': list, 'families': dict}
    kind = kinds.get(item.name) or type(item.default)
    if kind is float:
        is_right = _is_number(value)
    elif kind is list:
        is_right = isinstance(value, (list, tuple))
    else:
        is_right = type(value) is kind
    if is_right:
        return
    hint = ' (YAML reads 6e-4 as text: write 6.0e-4)' if kind is float else ''
    raise ValueError(f'{name} must be {kind.__name__}, not {value!r}{hint}')
