# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Every setting, with its default, meaning, unit and range: the only home of all of them.

The command line, the ROS parameters and ``config/vos.yaml`` are made from (and
tested against) these classes, so a default cannot exist twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, Field, field, fields, is_dataclass
import json
import math
import re
from typing import Any, get_type_hints, TypeVar

from vos_ros.errors import VosError

C = TypeVar('C')

#: Labels of 8 bits hold no more ids.
MOST_OBJECTS = 254
_AUTO = 'auto'


def setting(
    default: Any,
    description: str,
    *,
    unit: str = '',
    limits: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """
    Make a field of a dataclass that knows what it means; `check_value` checks a value of it.

    :param default: its type is the setting's.
    :param description: for people, a part of a sentence.
    :param unit: of a number.
    :param limits: smallest and largest value; the largest may be infinite, the smallest the least
        number above 0.
    :param choices: for a text; empty = any.
    :param live: whether it may change while the node runs.
    """
    meta = {
        'description': description,
        'unit': unit,
        'range': limits,
        'choices': choices,
        'live': live,
    }
    return field(default=default, metadata=meta)


class _Validated:
    """Checks each field against its own metadata, so that a rule is written once."""

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            if item.metadata:
                check_value(item.name, getattr(self, item.name), item)


def check_value(name: str, value: object, item: Field[Any]) -> None:
    """
    Raise VosError when `value` is not what the field `item` allows.

    :param name: as the user wrote it, for the message.
    """
    kind = type(item.default)
    right_type = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if kind is float:
        right_type = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not right_type:
        raise VosError(f'{name} must be {kind.__name__}, not {value!r}')
    if item.metadata['choices'] and value not in item.metadata['choices']:
        known = ', '.join(item.metadata['choices'])
        raise VosError(f'{name} must be one of {known}, not {value!r}')
    if item.metadata['range'] is not None:
        low, high = item.metadata['range']
        # whole numbers as they are: as a float, a long one is another one, or too large for it
        number: float = value  # type: ignore[assignment]
        is_finite = isinstance(number, int) or math.isfinite(number)
        if not (is_finite and low <= number <= high):
            raise VosError(
                f'{name} must {_range(low, high, item.metadata["unit"])}, not {value!r}'
            )


def _range(low: float, high: float, unit: str) -> str:
    unit = f' {unit}' if unit else ''
    is_open = low == math.ulp(0.0)
    if math.isfinite(high) and not is_open:
        return f'lie in {low} .. {high}{unit}'
    least = f'be above 0{unit}' if is_open else f'be {low:g}{unit} or more'
    return f'{least}, {high:g}{unit} at most' if math.isfinite(high) else least


@dataclass(frozen=True)
class MemoryConfig(_Validated):
    """What is remembered, and when."""

    mem_every: int = setting(
        1, 'memorise every n-th frame as the recent one', unit='frames', limits=(1, 1000)
    )
    max_prompted_frames: int = setting(
        4,
        'distinct prompted frames kept; beyond it the visible objects move to the newest one',
        unit='frames',
        limits=(1, 32),
    )
    max_speed: float = setting(
        3.0,
        'how fast an object may move on the image, large ones faster; what looks like it farther '
        'away is not believed while it is still seen here; 0 = believe everything',
        unit='short sides/s',
        limits=(0.0, 1000.0),
    )
    windowed: bool = setting(
        True,
        'an object is looked for only near to where it was, as far as max_speed, model and '
        'backend allow: less work for the same masks',
    )
    min_score: float = setting(
        0.55,
        'an object below this mean probability is not memorised, for that is how drift starts',
        limits=(0.0, 1.0),
    )
    budget_mib: float = setting(
        0.0,
        'memory that may be used for the network, images, masks and what is kept; what needs more '
        'is refused before it is taken; 0 = half of what there is here',
        unit='MiB',
        limits=(0.0, 1048576.0),
    )


@dataclass(frozen=True)
class LostConfig(_Validated):
    """When an object counts as occluded or lost, and which masks are not memorised."""

    min_score: float = setting(
        0.55,
        'an object below this mean probability counts as not seen',
        limits=(0.0, 1.0),
        live=True,
    )
    min_area: float = setting(
        0.1,
        'an object below this share of its usual area counts as not seen; 0 = any pixel counts',
        limits=(0.0, 1.0),
        live=True,
    )
    occluded_after_frames: int = setting(
        3,
        'frames in a row without the object until it is called occluded',
        unit='frames',
        limits=(1, 1000),
        live=True,
    )
    lost_after_s: float = setting(
        2.0,
        'time without the object until it is called lost',
        unit='s',
        limits=(0.0, 3600.0),
        live=True,
    )
    recover_after_frames: int = setting(
        3,
        'frames in a row with an occluded or lost object until it is called tracked again',
        unit='frames',
        limits=(1, 1000),
        live=True,
    )
    max_shrink: float = setting(
        5.0,
        'a mask that is suddenly so many times smaller, away from the border, is not memorised; '
        '0 = memorise it',
        limits=(0.0, 1000.0),
        live=True,
    )
    max_growth: float = setting(
        4.0,
        'a mask that is suddenly so many times larger is not memorised; 0 = memorise it',
        limits=(0.0, 1000.0),
        live=True,
    )


@dataclass(frozen=True)
class RedetectConfig(_Validated):
    """How an object that was away is recognised, and looked for."""

    enabled: bool = setting(
        True,
        'what is found of an object that was away must look like it, or it is not believed; it is '
        'searched for with views kept while it was well seen, too',
    )
    max_distance: float = setting(
        0.06,
        'how far colours may be from all views kept (Bhattacharyya distance); lower = stricter: '
        'fewer look-alikes are taken, more objects are not found again',
        limits=(0.001, 10.0),
    )
    every_frames: int = setting(
        5,
        'while an object is away, one extra pass of the network every n-th frame, after the '
        'labels are published',
        unit='frames',
        limits=(1, 1000),
    )
    views: int = setting(
        3,
        'views kept of each object for that search, beside the prompted frame, those that differ '
        'most; 0 = no search',
        limits=(0, 16),
    )


@dataclass(frozen=True)
class SegmenterConfig(_Validated):
    """How frames are segmented, whatever runs the network."""

    input_size: int = setting(
        0,
        'short side of the network input, rounded to a multiple of 16; '
        '0 = the size that the model was trained for',
        unit='px',
        limits=(0, 2160),
    )
    max_objects: int = setting(
        10,
        'objects followed at once; memory is allocated for all of them',
        limits=(1, MOST_OBJECTS),
    )
    guided: bool = setting(
        True,
        'outlines follow the camera image between the cells of the network (guided upsampling)',
    )
    outline: str = setting(
        'tighter',
        'where masks end: edge = where the network sees the edge; tighter = inside of it by as '
        'much as the given mask did; given = as the given mask, outside of it, too. By 6 px at '
        '480p at most; not for masks made of boxes, clicks or strokes',
        choices=('edge', 'tighter', 'given'),
    )
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    lost: LostConfig = field(default_factory=LostConfig)
    redetect: RedetectConfig = field(default_factory=RedetectConfig)

    def __post_init__(self) -> None:
        """Refuse an input too small to hold anything."""
        super().__post_init__()
        if 0 < self.input_size < 32:
            raise VosError(f'input_size must be 0 or at least 32 px, not {self.input_size}')


@dataclass(frozen=True)
class RuntimeConfig(_Validated):
    """Which model runs on what."""

    model: str = setting(
        'fast_mb_slim_reveal', 'name of a shipped model, or path of a model folder'
    )
    backend: str = setting(
        'auto',
        'what runs the network; auto = the best one that gives what the processor gives',
        choices=('auto', 'tensorrt', 'cuda', 'openvino', 'cpu'),
    )
    precision: str = setting(
        'auto',
        'what it computes with; auto = tensorrt fp16, openvino bf16 if it can, all others fp32',
        choices=('auto', 'fp32', 'fp16', 'bf16'),
    )
    device_id: int = setting(0, 'which GPU, as CUDA counts them', limits=(0, 63))
    engine_cache_dir: str = setting(
        '', "folder for TensorRT engines; empty = vos_ros/engines in the user's cache folder"
    )
    threads: int = setting(
        0,
        'threads of the network; 0 = the processors this process may use, at most 4; '
        'take 1 where another program fills a core',
        limits=(0, 64),
    )


@dataclass(frozen=True)
class InitConfig(_Validated):
    """What an init mask does."""

    mode: str = setting(
        'merge',
        'merge = new ids are added, known ids prompted again; replace = forget all others',
        choices=('merge', 'replace'),
    )
    binary_id: int = setting(
        1, 'object that a binary mask (only 0 and 255) stands for', limits=(1, 65535)
    )
    mask_file: str = setting(
        '', 'PNG with ids per pixel, applied to the first frame; empty = wait for the topic'
    )
    when: str = setting(
        'always',
        'which masks of known objects are taken: always = all; lost = of those that are lost; '
        'disagrees = also where it is elsewhere than ours for disagree_frames masks in a row and '
        'looks more like the object; masks without an id start objects only while none is known',
        choices=('always', 'lost', 'disagrees'),
    )
    disagree_frames: int = setting(
        5,
        'masks in a row, on the same thing, that must disagree with ours',
        unit='masks',
        limits=(1, 1000),
    )
    disagree_overlap: float = setting(
        0.5,
        'below this overlap (intersection over union) a mask disagrees with ours',
        limits=(0.0, 1.0),
    )
    wait_s: float = setting(
        1.0,
        'how long a mask waits for the frame that its stamp names, from the first image on',
        unit='s',
        limits=(0.0, 60.0),
    )
    late_policy: str = setting(
        'apply_to_latest',
        'for a mask whose frame is no longer buffered, or never came (then the nearest one)',
        choices=('apply_to_latest', 'reject'),
    )
    max_late_s: float = setting(
        5.0,
        'a mask that is older than the newest image by more, and whose frame is no longer '
        'buffered, is refused: a latched one of long ago would mark what is there now; 0 = never',
        unit='s',
        limits=(0.0, 86400.0),
    )
    prompt_model: str = setting(
        'prompt_mb',
        'network that makes masks of boxes and points, name or folder; empty = GrabCut, which '
        'also answers where the default one is not installed',
    )
    same_overlap: float = setting(
        0.3,
        'a box without an id is the known object whose box it overlaps by so much (intersection '
        'over union), the largest overlaps first; one that overlaps none is a new object',
        limits=(0.05, 1.0),
    )
    catch_up_ms: float = setting(
        500.0,
        'how long a late mask may be followed through the buffered frames up to the newest one, '
        'beside the live frames; 0 = only the newest',
        unit='ms',
        limits=(0.0, 10000.0),
    )
    buffer_frames: int = setting(
        30, 'recent frames kept for masks that come late', unit='frames', limits=(1, 256)
    )
    buffer_mib: float = setting(
        64.0, 'most memory these frames may take; one always stays', unit='MiB', limits=(1, 4096)
    )


@dataclass(frozen=True)
class OverloadConfig(_Validated):
    """What happens when the machine cannot follow."""

    policy: str = setting(
        'skip',
        'over deadline_ms or max_age_ms: skip = leave frames out, shrink = a smaller network '
        'input as well, error = change nothing and say so',
        choices=('skip', 'shrink', 'error'),
        live=True,
    )


@dataclass(frozen=True)
class PublishConfig(_Validated):
    """What the node offers beside the label map."""

    object_masks: bool = setting(True, 'offer ~/object_<id>/mask for every object')


@dataclass(frozen=True)
class OverlayConfig(_Validated):
    """The picture for people."""

    enabled: bool = setting(True, 'offer ~/overlay; drawn only where someone subscribes')
    alpha: float = setting(0.5, 'opacity of the colours', limits=(0.0, 1.0), live=True)
    max_rate_hz: float = setting(
        10.0,
        'at most this many per second; 0 = every frame',
        unit='Hz',
        limits=(0, 240),
        live=True,
    )


@dataclass(frozen=True)
class CarryConfig(_Validated):
    """Labels for images that the network has not seen yet."""

    enabled: bool = setting(True, 'offer ~/carried_labels; computed only where someone subscribes')
    max_age_ms: float = setting(
        500.0,
        'labels of an image so much older than the newest one are not carried to it',
        unit='ms',
        limits=(1.0, 10_000.0),
    )


@dataclass(frozen=True)
class DiagnosticsConfig(_Validated):
    """The node's report on itself."""

    period_s: float = setting(1.0, 'time between two reports', unit='s', limits=(0.1, 60.0))
    no_image_s: float = setting(
        5.0, 'silence of the camera after which the state is ERROR', unit='s', limits=(0.1, 3600.0)
    )


@dataclass(frozen=True)
class NodeConfig(_Validated):
    """What only the ROS node needs."""

    image_transport: str = setting(
        'raw', 'how images come: topic image, or image/compressed', choices=('raw', 'compressed')
    )
    image_range: str = setting(
        _AUTO,
        'counts of 16 bit images that become black and white, such as [3000, 3600]; auto = by '
        'the first image that shows something',
    )
    image_qos: str = setting(
        'sensor_data',
        'reliability asked from the camera: sensor_data = best effort matches every camera',
        choices=('sensor_data', 'reliable'),
    )
    max_age_ms: float = setting(
        0.0,
        'a result should not be older than this at publishing; beyond it overload.policy acts; '
        '0 = off; off, too, while stamps are so far from our clock that the clocks must differ',
        unit='ms',
        limits=(0.0, 10000.0),
        live=True,
    )
    deadline_ms: float = setting(
        0.0,
        'a frame that takes longer counts as a deadline miss; after several in a row '
        'overload.policy acts; 0 = off',
        unit='ms',
        limits=(0.0, 60000.0),
        live=True,
    )
    on_time_jump: str = setting(
        'reset',
        'a stamp goes back (bag loop, simulator reset) or an hour forward: reset = forget the '
        'objects, ignore = keep them',
        choices=('reset', 'ignore'),
    )
    autostart: bool = setting(True, 'configure and activate at start, without a manager')
    overload: OverloadConfig = field(default_factory=OverloadConfig)
    init: InitConfig = field(default_factory=InitConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)
    overlay: OverlayConfig = field(default_factory=OverlayConfig)
    carry: CarryConfig = field(default_factory=CarryConfig)
    diagnostics: DiagnosticsConfig = field(default_factory=DiagnosticsConfig)

    def __post_init__(self) -> None:
        """Refuse a range that is none."""
        super().__post_init__()
        parse_range(self.image_range)


@dataclass(frozen=True)
class SyncConfig(_Validated):
    """Which depth image belongs to which labels."""

    tolerance_ms: float = setting(
        0.0,
        'labels and depth with stamps this far apart belong together; 0 = half of the time '
        'between two images, as it is seen, and 50 at most',
        unit='ms',
        limits=(0.0, 1000.0),
        live=True,
    )
    wait_ms: float = setting(
        100.0,
        'how long labels wait for their depth image, where it arrives after them',
        unit='ms',
        limits=(0.0, 10000.0),
        live=True,
    )
    buffer_mib: float = setting(
        64.0,
        'most memory that depth images which wait for their labels may take; one always stays',
        unit='MiB',
        limits=(1.0, 4096.0),
        live=True,
    )


@dataclass(frozen=True)
class GeometryConfig(_Validated):
    """Which depth pixels are believed."""

    min_depth_m: float = setting(
        0.05, 'what is nearer counts as a hole', unit='m', limits=(0.0, 100.0), live=True
    )
    max_depth_m: float = setting(
        10.0,
        'what is farther away counts as a hole; 0 = no limit',
        unit='m',
        limits=(0.0, 10000.0),
        live=True,
    )
    edge_px: int = setting(
        2,
        'depth at edges is a mixture of both sides: pixels behind one and before another that are '
        'within this distance are left out; 0 = keep them',
        unit='px',
        limits=(0, 15),
        live=True,
    )
    edge_jump: float = setting(
        0.04,
        'so much farther away, as a share of the depth, is behind an edge or a gap',
        limits=(0.001, 1.0),
        live=True,
    )
    trim: float = setting(
        3.5,
        'pixels behind or before a gap in depth, and more standard deviations off the median (by '
        'the median absolute deviation), are left out; 0 = keep them',
        limits=(0.0, 100.0),
        live=True,
    )
    min_pixels: int = setting(
        20,
        'an object with fewer depth pixels has no centre',
        unit='px',
        limits=(1, 100000),
        live=True,
    )


@dataclass(frozen=True)
class MappingConfig(_Validated):
    """The depth image without the objects."""

    dilate_px: int = setting(
        2,
        'how much wider than their masks objects are cut out: a rim that is left becomes a ghost '
        'in the map',
        unit='px',
        limits=(0, 50),
        live=True,
    )


@dataclass(frozen=True)
class TfConfig(_Validated):
    """Frames of the objects, for tf2."""

    enabled: bool = setting(
        False, 'broadcast a frame for each object on /tf (needs tf2_msgs)', live=True
    )
    prefix: str = setting(
        '', 'what the names of these frames begin with; then comes object_<id>', live=True
    )


@dataclass(frozen=True)
class ReportConfig(_Validated):
    """What the node says about itself."""

    period_s: float = setting(
        1.0, 'time between two reports on /diagnostics', unit='s', limits=(0.1, 60.0)
    )
    silence_s: float = setting(
        5.0,
        'an input that is silent for longer is an error in the report',
        unit='s',
        limits=(0.1, 3600.0),
        live=True,
    )


@dataclass(frozen=True)
class Objects3dConfig(_Validated):
    """Everything of the node objects_3d."""

    depth_qos: str = setting(
        'sensor_data',
        'reliability asked from the depth camera: sensor_data = best effort matches every camera',
        choices=('sensor_data', 'reliable'),
    )
    distortion: str = setting(
        'auto',
        'of the depth image: none = it is rectified, P of camera_info holds; undo = K and D do; '
        'auto = none where the name of its topic has rect in it, else undo',
        choices=('auto', 'none', 'undo'),
        live=True,
    )
    max_objects: int = setting(
        20,
        'objects placed in space at once, the largest ones; each has topics of its own',
        limits=(1, MOST_OBJECTS),
        live=True,
    )
    keep_topics_s: float = setting(
        10.0,
        'how long the topics of an object that is on no labels stay',
        unit='s',
        limits=(0.0, 86400.0),
        live=True,
    )
    sync: SyncConfig = field(default_factory=SyncConfig)
    geometry: GeometryConfig = field(default_factory=GeometryConfig)
    mapping: MappingConfig = field(default_factory=MappingConfig)
    tf: TfConfig = field(default_factory=TfConfig)
    report: ReportConfig = field(default_factory=ReportConfig)


def parse_range(text: str) -> tuple[int, int] | None:
    """
    Read the setting image_range.

    :param text: 'auto', or two whole numbers: '[3000, 3600]' or '3000,3600'.
    :return: lowest and highest count; None = by the first images.
    :raises VosError: it is neither.
    """
    if text.strip() == _AUTO:
        return None
    found = re.fullmatch(r'\s*\[?\s*(\d+)\s*[,: ]\s*(\d+)\s*\]?\s*', text)
    if found is None or not int(found[1]) < int(found[2]) <= 65535:
        raise VosError(
            f'image_range must be auto or LOW,HIGH with 0 <= LOW < HIGH <= 65535, not {text!r}'
        )
    return int(found[1]), int(found[2])


def settings(cls: type, prefix: str = '') -> Iterator[tuple[str, Field[Any]]]:
    """
    Yield every setting of a config class as ('memory.mem_every', its dataclass field).

    The field carries ``default`` and ``metadata`` with description, unit, range
    (low, high) or None, choices and live.
    """
    hints = get_type_hints(cls)
    for item in fields(cls):
        if is_dataclass(hints[item.name]):
            yield from settings(hints[item.name], f'{prefix}{item.name}.')
        else:
            yield prefix + item.name, item


def from_settings(cls: type[C], values: Mapping[str, object]) -> C:
    """
    Build a config class from dotted names; what is not given keeps its default.

    :param values: for instance {'input_size': 320, 'memory.mem_every': 2}; names that
        belong to no field of `cls` raise VosError.
    """
    known = dict(settings(cls))
    for name, value in values.items():
        if name not in known:
            raise VosError(f'unknown setting {name!r}; known are {", ".join(known)}')
        check_value(name, value, known[name])
    return _build(cls, values)


def read_settings(cls: type, given: Iterable[str]) -> dict[str, object]:
    """
    Read settings as they are given on a command line.

    :param given: each NAME=VALUE, the name dotted; true or false where it is a switch.
    :return: by name; `from_settings` checks them.
    :raises VosError: it is no NAME=VALUE, or its value is of another type.
    """
    known, values = dict(settings(cls)), dict[str, object]()
    for text in given:
        name, equals, value = text.partition('=')
        if not equals:
            raise VosError(f'a setting is NAME=VALUE, as redetect.enabled=true, not {text!r}')
        kind = type(known[name].default) if name in known else str
        try:
            values[name] = value if kind is str else json.loads(value)
        except ValueError as error:
            raise VosError(f'{name} must be {kind.__name__}, not {value!r}') from error
    return values


def _build(cls: type[C], values: Mapping[str, object]) -> C:
    hints = get_type_hints(cls)
    made: dict[str, object] = {}
    for item in fields(cls):  # type: ignore[arg-type]
        head = f'{item.name}.'
        if is_dataclass(hints[item.name]):
            inner = {k[len(head) :]: v for k, v in values.items() if k.startswith(head)}
            made[item.name] = _build(hints[item.name], inner)
        elif item.name in values:
            made[item.name] = values[item.name]
    return cls(**made)


def to_settings(config: object) -> dict[str, object]:
    """Flatten a config into dotted names and values, as it is written beside results."""
    flat: dict[str, object] = {}

    def walk(part: Mapping[str, object], prefix: str) -> None:
        for name, value in part.items():
            if isinstance(value, Mapping):
                walk(value, f'{prefix}{name}.')
            else:
                flat[prefix + name] = value

    walk(asdict(config), '')  # type: ignore[call-overload]
    return flat
