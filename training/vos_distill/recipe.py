# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that decides a training run, read from YAML."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, Field, field, fields
import itertools
import math
from pathlib import Path
from typing import Any, cast

import yaml

from vos_distill.clip_config import ABOVE_0, ClipConfig, FROM_0, FROM_1, LEAST, SHARE
from vos_ros.config import check_value, setting
from vos_ros.errors import VosError

#: In a teacher's place: the true masks, by the same loss. What a teacher gains has to be more.
TRUTH = 'truth'
#: In a teacher's place: the file that the command line gives (`--teacher`).
GIVEN = 'TEACHER'
MAX_BAD_SHARE = 0.1  # of a data set that cannot be used, before it is refused
# What may differ when a run goes on: how long and how fast, not what is learnt from which clip.
FREE_TO_CHANGE = ('steps', 'save_every', 'log_every', 'workers', 'max_bad_share')


@dataclass
class Recipe:
    """Everything that decides a run; unknown keys in the YAML are refused."""

    preset: str = setting(
        'fast_r18',
        'which network, as `vos-distill presets` lists them',
    )
    stills: str = setting(
        'static',
        'folder of photographs, below the data',
    )
    #: Times that each photograph of a set counts, by the set's folder: {BIG_small: 5}; the
    #: others count once.
    still_repeats: dict[str, int] = field(default_factory=dict)
    still_side: int = setting(
        288,
        'photographs with a longer short side are reduced to it, px',
        limits=(32, math.inf),
    )
    video_side: int = setting(
        384,
        'frames with a longer short side are reduced to it, px',
        limits=(32, math.inf),
    )
    #: Folders of data sets, below the data.
    videos: list[str] = field(default_factory=lambda: ['davis2016', 'davis2017'])
    #: Text files that name the clips to take of a data set, one on each line, by the set in
    #: `videos`: {youtube2019: yv_subset.txt}; relative to the data, or absolute. A set without one
    #: is taken whole.
    subsets: dict[str, str] = field(default_factory=dict)
    init: str = setting(
        '',
        "weights to start from: `student.pt` of an earlier stage, an exported model's folder, "
        "or ''",
    )
    memory: str = setting(
        'finite',
        "`finite` is the robot's, {first, most recent}; `infinite` keeps every frame and is "
        'for teachers',
        choices=('finite', 'infinite'),
    )
    teacher: str = setting(
        '',
        '`student.pt` of a trained teacher (or student); `truth`, the true masks in its place, '
        "which is the control of distilled logits; `TEACHER`, what `--teacher` names; or ''",
    )
    teacher_until: float = setting(
        1.0,
        'share of the run after which it goes on as if there were no teacher, and faster. A '
        'student that has passed its teacher learns more without it (Cho and Hariharan, ICCV '
        '2019: early-stopped distillation)',
        limits=SHARE,
    )
    segmentation_weight: float = setting(
        1.0,
        'of the loss on true masks when there is a teacher; 0 leaves the teacher alone to '
        'show how',
        limits=FROM_0,
    )
    logit_weight: float = setting(
        1.0,
        'of the distilled class distributions, at `temperature`',
        limits=FROM_0,
    )
    representation_weight: float = setting(
        1.0,
        'of the pixel-pair loss, with `omega` between labels (0) and teacher (1), over '
        '`pixels` of each object and frame',
        limits=FROM_0,
    )
    attention_weight: float = setting(
        0.0,
        'of the attention maps (CKA); it grows from 0 over the first tenth',
        limits=FROM_0,
    )
    intra_weight: float = setting(
        0.0,
        'of the relations between the pixels of an object',
        limits=FROM_0,
    )
    inter_weight: float = setting(
        0.0,
        'of the relations between the objects at a pixel',
        limits=FROM_0,
    )
    labels: str = setting(
        'gt',
        'what counts as true after the first frame: `gt` the labels of the data, `teacher` '
        'what the teacher finds from the first mask alone (where it is sure), `mixed` the one '
        'or the other for each clip',
        choices=('gt', 'teacher', 'mixed'),
    )
    omega: float = setting(
        0.95,
        'of the pixel-pair loss, between labels (0) and teacher (1)',
        limits=SHARE,
    )
    temperature: float = setting(
        0.1,
        'of the distilled class distributions',
        limits=ABOVE_0,
    )
    pixels: int = setting(
        1024,
        'of each object and frame, for the pixel-pair loss; two classes need two',
        limits=(2, math.inf),
    )
    boundary: bool = setting(
        True,
        'the logits and the pixel pairs look at the boundary band first; False: everywhere',
    )
    imagenet: str = setting(
        '',
        "weights of the backbone, .npz or .pth, relative to the data or absolute; ''",
    )
    #: What the clips look like.
    clip: ClipConfig = field(default_factory=ClipConfig)
    merge: float = setting(
        0.0,
        'probability that the objects of a second clip are laid over a clip, as AOT does: up '
        'to four objects then',
        limits=SHARE,
    )
    merges: int = setting(
        1,
        'clips that may be laid over it, each with that probability if the one before was: up '
        'to 2 * (merges + 1) objects',
        limits=FROM_1,
    )
    steps: int = setting(
        6000,
        'batches in the run',
        limits=FROM_1,
    )
    batch: int = setting(
        4,
        'clips a step, over all processes together',
        limits=FROM_1,
    )
    optimiser: str = setting(
        'adamw',
        '`adamw`, whose weight decay is apart from the gradient and spares biases; `adam`, as '
        'STCN has it: an L2 term of all weights, part of the gradient',
        choices=('adamw', 'adam'),
    )
    rate: float = setting(
        6e-4,
        'learning rate at its height, for the heads',
        limits=ABOVE_0,
    )
    backbone_rate: float = setting(
        0.1,
        'factor on the learning rate for the rest of the backbone',
        limits=FROM_0,
    )
    frozen_stages: int = setting(
        3,
        'stages of the backbone, from the front, that never change',
        limits=FROM_0,
    )
    frozen_bn: bool = setting(
        True,
        "BatchNorm keeps its statistics, as STCN's does; False is for presets that have "
        'BatchNorm, and the statistics are those of one process',
    )
    warmup: int = setting(
        40,
        'steps up to `rate`; then a cosine leads down to `final_rate` of it, or `step_at` says',
        limits=FROM_0,
    )
    final_rate: float = setting(
        0.02,
        'share of the learning rate that the cosine leads down to',
        limits=SHARE,
    )
    #: Shares of the run, in order, from each of which on the learning rate is multiplied by
    #: `step_factor`, in the place of the cosine: [0.5] is half way. Empty = the cosine.
    step_at: list[float] = field(default_factory=list)
    step_factor: float = setting(
        0.1,
        'factor on the learning rate at each share of `step_at`',
        limits=(LEAST, 1.0),
    )
    weight_decay: float = setting(
        1e-3,
        'of the optimiser, see there',
        limits=FROM_0,
    )
    clip_gradient: float = setting(
        3.0,
        'largest norm of the gradient',
        limits=ABOVE_0,
    )
    ema: float = setting(
        0.998,
        'share of the averaged weights that a step keeps',
        limits=SHARE,
    )
    hard_from: float = setting(
        0.4,
        'share of the run after which the hardest pixels start to count alone',
        limits=SHARE,
    )
    hard_until: float = setting(
        0.75,
        'share of the run from which no more than `hard_share` of the pixels count',
        limits=SHARE,
    )
    hard_share: float = setting(
        0.25,
        'share of the pixels that count at the end',
        limits=(LEAST, 1.0),
    )
    poly: float = setting(
        0.0,
        'epsilon of PolyLoss-1 on the cross entropy; 0 is the plain cross entropy. Below -1 the '
        'gradient points the wrong way for a pixel that is sure',
        limits=(-1.0, math.inf),
    )
    dice_weight: float = setting(
        0.5,
        'of the Dice loss',
        limits=FROM_0,
    )
    propagated_weight: float = setting(
        0.5,
        'of the loss on propagated masks, for networks that give them',
        limits=FROM_0,
    )
    drop_recent: float = setting(
        0.1,
        "probability that a clip's recent row holds the prompted frame, a frame",
        limits=SHARE,
    )
    leak: float = setting(
        0.0,
        'probability that the student finds, in its recent row, a part of one object given to '
        'another, in a clip that shows several',
        limits=SHARE,
    )
    drop_prompted: float = setting(
        0.0,
        "probability that a clip's prompted row holds the most recent frame from some frame "
        'on: what the prompted frame does not know is no evidence against an object',
        limits=SHARE,
    )
    spoil_revealed: float = setting(
        0.0,
        'probability that the most recent mask of a clip that reveals a part of an object is '
        'spoilt, as if that part had been missed',
        limits=SHARE,
    )
    fall_back: bool = setting(
        False,
        'an object of whose mask nothing or only something doubtful is left reads the '
        'prompted frame alone on the next frame, as in the node',
    )
    confuse_prompted: float = setting(
        0.0,
        "probability that the prompted rows of a clip's objects are mixed with each other's from "
        'some frame on: of two that look alike, where they just were says more',
        limits=SHARE,
    )
    #: How often real clips are taken, by the begin of SET/CLIP: {mixed2017/sbi: 1.0,
    #: mixed2017/vsb: 3.0}. Empty = by their length alone.
    families: dict[str, float] = field(default_factory=dict)
    amp: bool = setting(
        True,
        'mixed precision where the device has it',
    )
    seed: int = setting(
        0,
        'of the weights and of all that is drawn',
        limits=(0, 2**63 - 1),
    )
    workers: int | str = setting(
        1,
        'processes that make clips, for each training process; or auto, by the processors '
        'that there are',
        limits=FROM_0,
    )
    save_every: int = setting(
        100,
        'steps between checkpoints',
        limits=FROM_1,
    )
    log_every: int = setting(
        50,
        'steps that a row of the metrics is the mean of',
        limits=FROM_1,
    )
    max_bad_share: float = setting(
        MAX_BAD_SHARE,
        "of each data set's files that may be unusable and are left out",
        limits=SHARE,
    )

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
        if raw.get('labels', 'gt') != 'gt' and not raw.get('teacher'):
            raise ValueError(f'{path}: labels: {raw["labels"]} needs a teacher')
        if raw.get('teacher') == TRUTH:
            _check_truth(path, raw)
        try:
            recipe = cls(clip=ClipConfig(**clip), **raw)
        except ValueError as error:  # points of gap_schedule out of order
            raise ValueError(f'{path}: {error}') from error
        if strangers := sorted(set(recipe.subsets) - set(recipe.videos)):
            raise ValueError(
                f'{path}: subsets names {", ".join(strangers)}, which is not among the videos '
                f'({", ".join(recipe.videos)})'
            )
        return recipe

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


def _check_truth(path: str, raw: dict[str, Any]) -> None:
    """Refuse what needs the features of a network, or its opinion, where there is none."""
    if raw.get('labels', 'gt') != 'gt':
        raise ValueError(f'{path}: labels: {raw["labels"]} needs a teacher that is a network')
    needs = ('representation_weight', 'attention_weight', 'intra_weight', 'inter_weight')
    defaults = {f.name: f.default for f in fields(Recipe)}
    for name in needs:
        if raw.get(name, defaults[name]):
            raise ValueError(f'{path}: teacher: {TRUTH} has logits alone; set {name}: 0')


def _check_value(path: str, name: str, value: object, item: Field[Any]) -> None:
    """Refuse a value of the wrong kind or out of its range."""
    if name == 'workers' and value == 'auto':
        return
    _check_kind(f'{path}: {name}', value, item)
    if item.name == 'videos' and not all(isinstance(one, str) for one in _list(value)):
        raise ValueError(f'{path}: {name} must be names of folders, not {value!r}')
    if item.name == 'families':
        shares = cast(dict[object, object], value)
        if not all(isinstance(k, str) and _is_weight(v) for k, v in shares.items()):
            raise ValueError(f'{path}: {name} must be names with weights from 0, not {value!r}')
    if item.name == 'still_repeats':
        times = cast(dict[object, object], value)
        if not all(isinstance(k, str) and type(n) is int and n >= 1 for k, n in times.items()):
            raise ValueError(
                f'{path}: {name} must be names of sets with whole numbers from 1, not {value!r}'
            )
    if item.name == 'subsets':
        paths = cast(dict[object, object], value)
        if not all(isinstance(k, str) and isinstance(v, str) for k, v in paths.items()):
            raise ValueError(f'{path}: {name} must be data sets with files, not {value!r}')
    if item.name == 'step_at' and not _are_rising_shares(_list(value)):
        raise ValueError(
            f'{path}: {name} must be shares of the run above 0 and below 1, in order, '
            f'not {value!r}'
        )
    if item.name == 'gap_schedule' and not all(_is_point(one) for one in _list(value)):
        raise ValueError(
            f'{path}: {name} must be points [share of the run 0..1, frames from 1], not {value!r}'
        )
    if item.metadata:
        try:
            check_value(f'{path}: {name}', value, item)
        except VosError as error:
            raise ValueError(str(error)) from error
    if name == 'clip.size' and cast(int, value) % 16:
        raise ValueError(f'{path}: {name} must be a multiple of 16, not {value!r}')


def _list(value: object) -> list[Any]:
    return list(cast(Iterable[Any], value))


def _is_point(value: object) -> bool:
    is_pair = isinstance(value, (list, tuple)) and len(value) == 2
    return is_pair and all(_is_number(one) and math.isfinite(one) for one in _list(value))


def _are_rising_shares(values: list[Any]) -> bool:
    if not all(_is_number(one) and 0 < one < 1 for one in values):
        return False
    return all(one < other for one, other in itertools.pairwise(values))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_weight(value: object) -> bool:
    return _is_number(value) and 0 <= cast(float, value) < math.inf


class _OnceLoader(yaml.SafeLoader):
    """Refuses a key that is given twice: of the two YAML would drop the first, in silence."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Look before `<<` is resolved: keys that it brings may be given again."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f'the key {key.value} is given twice', problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """
    Read a YAML file of keys and values; an empty one has none.

    :raises ValueError: not readable, broken, a key that is given twice, or something else than
        text keys with values; names the path.
    """
    try:
        raw = yaml.load(path.read_text(encoding='utf-8'), _OnceLoader)
    except OSError as error:
        raise ValueError(f'{path}: cannot be read ({error.strerror})') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = ' '.join(str(error).split())
        raise ValueError(f'{path}: not valid YAML ({reason})') from error
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise ValueError(f'{path}: must be keys and values (key: value), not {raw!r:.60}')
    not_text = [key for key in raw if not isinstance(key, str)]
    if not_text:
        raise ValueError(f'{path}: the key {not_text[0]!r} must be text')
    return raw


def _check_kind(name: str, value: object, item: Field[Any]) -> None:
    lists, dicts = ('videos', 'gap_schedule', 'step_at'), ('families', 'still_repeats', 'subsets')
    kinds = {**dict.fromkeys(lists, list), **dict.fromkeys(dicts, dict)}
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
