# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What objects to follow: init masks, raw or as PNG, boxes, points, a file; and which to forget.

From configure to clean-up. Messages come in by the intake's thread while the node is active, all
else by the executor's, so what they share is locked.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
import functools
import hashlib
import threading
from typing import Any

from geometry_msgs.msg import Point, PointStamped
import numpy as np
from rclpy.callback_groups import CallbackGroup
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import UInt16MultiArray

from vos_ros.config import InitConfig
from vos_ros.datatypes import LabelMap, Prompt
from vos_ros.engine.labels import keep_ids
from vos_ros.errors import VosError
from vos_ros.formats.masks import EmptyMaskError, ids_in
from vos_ros.ros import conversions, detections
from vos_ros.ros.cdr import read_message
from vos_ros.ros.deliveries import AroundJumps, Deliveries
from vos_ros.ros.detections import BoxPrompt
from vos_ros.ros.diagnostics import Health
from vos_ros.ros.gaps import GapCounter
from vos_ros.ros.guard import ErrorLog, guarded, in_words, shortened
from vos_ros.ros.points import Clicks
from vos_ros.ros.qos import LATCHED, profile, QosWatch, RELIABLE, VOLATILE
from vos_ros.ros.reporting import compressed_topic
from vos_ros.stream.requests import QUEUE_CAPACITY, reach_s
from vos_ros.stream.timeline import TimeJump

#: Prompts that are kept while the node cannot use them (inactive, paused); the oldest go first.
_HELD = QUEUE_CAPACITY
#: Messages that may wait for the intake: more than can be queued, so that whatever is too much is
#: refused by name and not lost.
_DEPTH = 2 * QUEUE_CAPACITY
#: Removals that may wait: one for each object, at once, and again; each is a few bytes.
_REMOVALS = 256
#: Of these masks are made here: what was made of a picture before a jump is of no use after it.
_DRAWN = ('boxes', 'points')
#: How often to look whether somebody latches prompts.
_LATCHED_POLL_S = 0.25


def _nbytes_of(prompt: Prompt | BoxPrompt) -> int:
    """Count the bytes of a mask; boxes are a few."""
    return prompt.label_map.nbytes if isinstance(prompt, Prompt) else 0


def _without(
    prompts: Iterable[Prompt | BoxPrompt], object_ids: frozenset[int]
) -> Iterator[Prompt | BoxPrompt]:
    """Leave objects out of prompts, and prompts of which nothing is left."""
    for prompt in prompts:
        if isinstance(prompt, BoxPrompt):
            boxes = {i: box for i, box in prompt.boxes.items() if i not in object_ids}
            if boxes:
                yield replace(prompt, boxes=boxes)
            continue
        ids = ids_in(prompt.label_map)
        kept = [i for i in ids if i not in object_ids]
        if len(kept) == len(ids):
            yield prompt
        elif kept:
            yield replace(prompt, label_map=keep_ids(prompt.label_map, kept))


class PromptInputs:
    """
    The topics that say what to follow.

    :param node: for its timers and its log.
    :param watch: makes the subscriptions.
    :param config: what masks mean.
    :param vision: the module vision_msgs.msg, None where it is not installed.
    :param health: counts.
    :param error_log: logs.
    :param submit: takes a prompt, or returns False while nobody can; then it is held.
    :param known_ids: ids in use.
    :param remove: forgets objects.
    :param most_nbytes: of masks that are held while nobody takes them; one always is.
    :param group: of all subscriptions.
    :param on_topics_changed: called when `subscriptions` has changed.
    """

    def __init__(
        self,
        node: Any,
        watch: QosWatch,
        config: InitConfig,
        *,
        vision: Any | None,
        health: Health,
        error_log: ErrorLog,
        submit: Callable[[Prompt | BoxPrompt], bool],
        known_ids: Callable[[], tuple[int, ...]],
        remove: Callable[[frozenset[int]], None],
        most_nbytes: int,
        group: CallbackGroup,
        on_topics_changed: Callable[[], None],
    ) -> None:
        self.names: dict[int, str] = {}  # of objects that a detector has named
        self.sightings = detections.Sightings()
        self.error_log = error_log
        self._node = node
        self._watch = watch
        self._config = config
        self._health = health
        self._submit = submit
        self._known_ids = known_ids
        self._remove = remove
        self._most_nbytes = most_nbytes
        self._group = group
        self._on_topics_changed = on_topics_changed
        self._lock = threading.RLock()
        self._held: deque[Prompt | BoxPrompt] = deque(maxlen=_HELD)
        self._has_logged_held = False
        self._seen = Deliveries()
        self._around_jumps = AroundJumps(reach_s(config), most_nbytes)
        self._has_seen_stamp_0 = False
        self._clicks = Clicks()
        self._newest_mask: tuple[int, LabelMap] | None = None  # stamp, all its masks so far
        self._topics: dict[str, tuple[type, Callable]] = {
            'init_mask': (Image, self._on_mask),
            compressed_topic(node, 'init_mask'): (CompressedImage, self._on_compressed_mask),
            'init_points': (PointStamped, self._on_point),
        }
        if vision is not None:
            self._topics['init_boxes'] = (vision.Detection2DArray, self._on_boxes)
        self._latched: dict[str, Any] = {}  # topic -> its second subscription
        self._subscriptions = [self._listen(topic, VOLATILE) for topic in self._topics]
        commands: tuple[tuple[type, str, Callable[[bytes], None], int], ...] = (
            (UInt16MultiArray, 'remove_objects', self._on_remove, _REMOVALS),
            (Point, 'init_click', self._on_click, _DEPTH),
        )
        self._subscriptions += [
            watch.subscribe(kind, topic, take, profile(depth), raw=True, callback_group=group)
            for kind, topic, take, depth in commands
        ]
        # What is latched comes through these as well, and is counted once.
        self.gaps = {s: self._gap_counter(s.topic_name) for s in self._subscriptions}
        self._timer = node.create_timer(
            _LATCHED_POLL_S, self._look_for_latched, clock=node.steady_clock
        )

    @property
    def subscriptions(self) -> tuple[Any, ...]:
        """All that is listened to, at present."""
        return (*self._subscriptions, *self._latched.values())

    def close(self) -> None:
        """Stop listening and forget what is held."""
        self._node.destroy_timer(self._timer)
        for subscription in self.subscriptions:
            self._watch.release(subscription)
        self._subscriptions.clear()
        self._latched.clear()
        self._held.clear()
        self._around_jumps.clear()  # it leads back to this

    def hand_over_held(self) -> None:
        """Submit what was held; the node can use it now."""
        with self._lock:
            for _ in range(len(self._held)):
                prompt = self._held.popleft()
                if not self._submit_guarded(prompt):
                    self._held.append(prompt)
            self._has_logged_held = bool(self._held)

    def refused(self) -> None:
        """Note, from any thread, that a prompt was refused after it had been taken."""
        self._seen.may_come_again()

    def forget(self) -> None:
        """Forget everything after a reset: the same mask may now be meant again."""
        with self._lock:
            self._held.clear()
            self._seen.clear()
            self._around_jumps.clear()
            self.sightings.clear()
            self._clicks.clear()
            self.names = {}

    def repeat(self, jump: TimeJump) -> None:
        """
        Ask for latched prompts again, and take the file again: the time has jumped.

        What came before that was known, and is for the new time, is taken as well. (Masks that
        were new are only remembered: the worker has them.)

        :param jump: of the stamps.
        """
        with self._lock:
            meant = self._around_jumps.take_meant(jump)
            self.forget()
            for take in meant:
                take()
            # Not once more at the next jump: in a bag of less than a second it would be.
            self._around_jumps.clear()
        for topic, subscription in self._latched.items():
            # A new subscription gets the latched message, as one that comes late does.
            self._watch.release(subscription)
            self._latched[topic] = self._listen(topic, LATCHED)
        self._on_topics_changed()
        self.take_file()

    def take_file(self) -> None:
        """Take the masks of the file, if one is given; VosError if they cannot be read."""
        path = self._config.mask_file
        if path:
            prompt = conversions.to_prompt_from_file(path, self._config.binary_id)
            with self._lock:
                self._take(prompt)

    def _gap_counter(self, topic: str) -> GapCounter:
        is_removal = topic == self._node.resolve_topic_name('remove_objects')
        depth, what = (_REMOVALS, 'ids') if is_removal else (_DEPTH, 'objects of an image')

        def on_missed(count: int) -> None:
            line = (
                f'{count} messages of {topic} were lost on their way: more than {depth} came at '
                f'once, or the link is weak; send one message with all {what}'
            )
            if is_removal:
                self._health.noticed(line)  # these objects are still followed
            else:
                self._health.masks_lost(count)
            self.error_log.warn(line)

        return GapCounter(on_missed, lambda: int(self._node.count_publishers(topic)))

    def _listen(self, topic: str, durability: Any) -> Any:
        kind, callback = self._topics[topic]
        return self._watch.subscribe(
            kind,
            topic,
            functools.partial(
                self._on_serialized,
                topic=topic,
                callback=functools.partial(callback, is_latched=durability == LATCHED),
            ),
            profile(_DEPTH, RELIABLE, durability),
            raw=True,
            callback_group=self._group,
        )

    @guarded
    def _look_for_latched(self) -> None:
        """
        Listen a second way once somebody latches prompts.

        A volatile subscription matches every publisher, but the sample that was latched before is
        sent only to a transient_local one; and that one would not match volatile publishers. So it
        is made when it is of use, and `_is_new` drops what then comes through both.
        """
        with self._lock:
            self._around_jumps.expire()
        for topic in self._topics.keys() - self._latched.keys():
            resolved = self._node.resolve_topic_name(topic)
            offers = self._node.get_publishers_info_by_topic(resolved)
            if any(offer.qos_profile.durability == LATCHED for offer in offers):
                self._latched[topic] = self._listen(topic, LATCHED)
                self._on_topics_changed()

    @guarded
    def _on_serialized(
        self, serialized: bytes, *, topic: str, callback: Callable[[Any], None]
    ) -> None:
        try:
            msg = read_message(serialized, self._topics[topic][0])
        except VosError as error:
            self._health.mask_arrived()
            self._refuse(VosError(f'{topic}: {error}'))
            return
        callback(msg)

    @guarded
    def _on_mask(self, msg: Image, *, is_latched: bool) -> None:
        shape = f'{msg.encoding} {msg.width} {msg.height} {msg.step}'.encode()
        with self._lock, self._rejections():
            again = functools.partial(self._on_mask, msg, is_latched=is_latched)
            if self._is_new('raw', is_latched, msg, again, shape, msg.data):
                self._take_mask(msg, conversions.to_label_map)

    @guarded
    def _on_compressed_mask(self, msg: CompressedImage, *, is_latched: bool) -> None:
        with self._lock, self._rejections():
            again = functools.partial(self._on_compressed_mask, msg, is_latched=is_latched)
            if self._is_new('compressed', is_latched, msg, again, msg.data):
                self._take_mask(msg, conversions.to_label_map_from_compressed)

    @guarded
    def _on_boxes(self, msg: Any, *, is_latched: bool) -> None:
        with self._lock, self._rejections():
            again = functools.partial(self._on_boxes, msg, is_latched=is_latched)
            if not self._is_new('boxes', is_latched, msg, again, detections.fingerprint(msg)):
                return
            known = self._known_ids()
            places = self.sightings.at(conversions.to_stamp_ns(msg.header.stamp), known)
            boxes, problems = detections.to_boxes(
                msg, known, places, self.names, self._config.same_overlap
            )
            self.sightings.note_request(boxes)
            for line in problems:
                self._health.mask_rejected(line)
                self.error_log.warn(f'init boxes: {line}')
            self.names = self.sightings.still_named(self.names, known) | {**boxes.names}
            self._take(boxes)

    @guarded
    def _on_point(self, msg: PointStamped, *, is_latched: bool) -> None:
        at = msg.point
        with self._lock, self._rejections():
            again = functools.partial(self._on_point, msg, is_latched=is_latched)
            content = repr((at.x, at.y, at.z)).encode()
            if self._is_new('points', is_latched, msg, again, content):
                self._take_point(at, conversions.to_stamp_ns(msg.header.stamp))

    @guarded
    def _on_click(self, serialized: bytes) -> None:
        with self._lock, self._rejections():
            self._health.mask_arrived()
            try:
                at = read_message(serialized, Point)
            except VosError as error:
                raise VosError(f'init_click: {error}') from None
            self._take_point(at, 0)  # a click of rqt has no stamp: the newest image is meant

    def _take_point(self, at: Point, stamp_ns: int) -> None:
        prompt = self._clicks.take(at.x, at.y, at.z, stamp_ns, self._known_ids())
        if prompt is not None:
            self._take(prompt)

    def _take_mask(self, msg: Any, read: Callable[[Any, int], Any]) -> None:
        label_map = read(msg, self._config.binary_id)
        stamp_ns = conversions.to_stamp_ns(msg.header.stamp)
        if stamp_ns == 0:
            self._health.stamp_0()
            if not self._has_seen_stamp_0:
                self._has_seen_stamp_0 = True
                self._node.get_logger().warning(
                    'init mask has stamp 0 and is applied to the next image; give it the stamp '
                    'of the image that it was drawn on'
                )
        else:
            self._warn_of_conflicts(label_map, stamp_ns)
        self._take(Prompt(label_map, stamp_ns))

    def _warn_of_conflicts(self, label_map: LabelMap, stamp_ns: int) -> None:
        """Warn where two masks of one image give different pixels to one object."""
        newest, self._newest_mask = self._newest_mask, (stamp_ns, label_map)
        if newest is None or newest[0] != stamp_ns or newest[1].shape != label_map.shape:
            return
        before = newest[1]
        self._newest_mask = stamp_ns, np.where(label_map > 0, label_map, before)
        differs = before != label_map
        moved = np.union1d(before[differs], label_map[differs])
        again = sorted(set(ids_in(before)).intersection(ids_in(label_map), moved.tolist()))
        if again:
            line = (
                f'several masks of one image give different pixels to objects {again}: the last '
                'one counts; give each object an id of its own (pixels k = object k), in one mask'
            )
            self._health.noticed(shortened(line))
            self.error_log.warn(shortened(line))

    def _is_new(
        self, way: str, is_latched: bool, msg: Any, again: Callable[[], None], *content: Any
    ) -> bool:
        digest = hashlib.blake2b(way.encode(), digest_size=16)
        for part in content:
            digest.update(part)
        stamp_ns = conversions.to_stamp_ns(msg.header.stamp)
        see = functools.partial(self._seen.is_new, stamp_ns, digest.digest(), is_latched)
        is_new = see()
        if way in _DRAWN:
            self._around_jumps.note(stamp_ns, again, 0, is_second=not is_new)
        elif is_new:  # the worker takes it across a jump; what comes once more is no new one
            self._around_jumps.note(stamp_ns, see, 0, is_second=False)
        else:
            self._around_jumps.note(stamp_ns, again, len(msg.data), is_second=True)
        if not is_new:
            self._health.mask_repeated()
            return False
        self._health.mask_arrived()
        return True

    @contextmanager
    def _rejections(self) -> Iterator[None]:
        """End the block at a prompt that cannot be used, and tell."""
        try:
            yield
        except EmptyMaskError:
            self._health.mask_empty()  # a detector that found nothing says so with every frame
        except VosError as error:
            self._refuse(error)

    def _refuse(self, error: VosError) -> None:
        self._health.mask_rejected(in_words(error))
        self.error_log.log(error)

    def _take(self, prompt: Prompt | BoxPrompt) -> None:
        if self._submit_guarded(prompt):
            return
        nbytes = _nbytes_of(prompt)
        while self._held and (
            len(self._held) == _HELD
            or nbytes + sum(map(_nbytes_of, self._held)) > self._most_nbytes
        ):
            self._held.popleft()
            self._refuse(
                VosError(
                    f'more than {_HELD} init masks, or {self._most_nbytes >> 20} MiB of them, are '
                    'held; the oldest is dropped'
                )
            )
        self._held.append(prompt)
        if not self._has_logged_held:
            self._has_logged_held = True
            self._node.get_logger().info('init mask is held until the node is active and enabled')

    def _submit_guarded(self, prompt: Prompt | BoxPrompt) -> bool:
        try:
            return self._submit(prompt)
        except VosError as error:
            self._refuse(error)
            self._seen.clear()  # sent again, it is no second delivery
            return True

    @guarded
    def _on_remove(self, serialized: bytes) -> None:
        try:
            msg = read_message(serialized, UInt16MultiArray)
        except VosError as error:
            self.error_log.log(VosError(f'remove_objects: {error}'))
            return
        ids = frozenset(np.unique(np.frombuffer(msg.data, np.uint16)).tolist())
        with self._lock:
            self._seen.clear()  # the same mask may now be meant again
            self._around_jumps.clear()
            self.names = {i: name for i, name in self.names.items() if i not in ids}
            self.sightings.remove(ids)
            self._held = deque(_without(self._held, ids), maxlen=_HELD)
            unknown = sorted(ids.difference(self._known_ids()))
            if unknown:
                self.error_log.warn(
                    shortened(
                        f'remove_objects: no object {unknown} is known; masks that wait lose them'
                    )
                )
            self._remove(ids)
