# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Any detector -> init_boxes: what it says of every image, without ids, for ever.

python examples/detector_boxes.py --ros-args -r image:=/camera/image_raw

Run the segmenter with `-p init.when:=disagrees` (or `lost`): the first boxes start the objects,
all later ones only repair. Put your network in the place of `detect`. Needs vision_msgs.
"""

import cv2
import numpy as np
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from vos_ros.ros.conversions import to_frame

PERSONS = cv2.HOGDescriptor()
PERSONS.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())


def detect(picture: np.ndarray) -> list[tuple[float, float, float, float, str, float]]:
    """Return left, top, width, height in px, name and score (0..1) of all that is found."""
    boxes, scores = PERSONS.detectMultiScale(picture)
    return [(*map(float, b), 'person', min(1.0, float(s))) for b, s in zip(boxes, scores)]


def to_boxes(image: Image) -> Detection2DArray:
    """Ask the detector; the header of the image says what the boxes belong to."""
    message = Detection2DArray()
    message.header = image.header
    for left, top, width, height, name, score in detect(to_frame(image).image):
        found, guess = Detection2D(), ObjectHypothesisWithPose()
        guess.hypothesis.class_id, guess.hypothesis.score = name, score
        found.results = [guess]
        found.bbox.center.position.x = left + (width - 1) / 2
        found.bbox.center.position.y = top + (height - 1) / 2
        found.bbox.size_x, found.bbox.size_y = width, height
        message.detections.append(found)
    return message


def main() -> None:
    """Answer every image that there is time for."""
    rclpy.init()
    node = rclpy.create_node('detector')
    boxes = node.create_publisher(Detection2DArray, 'init_boxes', 1)
    one = qos_profile_sensor_data
    one.depth = 1  # a slow detector looks at the newest image
    node.create_subscription(Image, 'image', lambda image: boxes.publish(to_boxes(image)), one)
    rclpy.spin(node)


if __name__ == '__main__':
    main()
