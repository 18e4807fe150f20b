// SPDX-FileCopyrightText: 2026 The vos_ros authors
// SPDX-License-Identifier: Apache-2.0
//
// Gives what comes in on stdin to Nav2's own SegmentationBuffer, and prints what each tile costs: the
// lines of the layer's updateBounds, as the buffer has none. `nav2_layer.py` writes the input.
#include <cstdio>
#include <cstdlib>

#include "semantic_segmentation_layer/segmentation_buffer.hpp"

using semantic_segmentation_layer::SegmentationBuffer;

static void read(void * to, size_t size)
{
  if (size != 0 && fread(to, 1, size, stdin) != size) {
    exit(3);
  }
}

template<class T> static T get()
{
  T value;
  read(&value, sizeof(value));
  return value;
}

static std::string get_text()
{
  std::string text(get<uint32_t>(), ' ');
  read(&text[0], text.size());
  return text;
}

int main()
{
  std::unordered_map<std::string, CostHeuristicParams> costs;
  for (uint32_t left = get<uint32_t>(); left != 0; --left) {
    const std::string name = get_text();
    CostHeuristicParams & cost = costs[name];
    cost.base_cost = get<uint8_t>();
    cost.max_cost = get<uint8_t>();
    cost.mark_confidence = get<uint8_t>();
    cost.samples_to_max_cost = get<int32_t>();
    cost.dominant_priority = get<uint8_t>() != 0;
  }
  const double resolution = get<double>(), decay_s = get<double>();
  const double nearest = get<double>(), farthest = get<double>();
  tf2_ros::Buffer transforms;
  const auto node = std::make_shared<nav2::LifecycleNode>();
  SegmentationBuffer buffer(
    node, "camera", {}, costs, {}, 0.0, 0.0, farthest, nearest, transforms, "map", "",
    tf2::Duration(0), resolution, decay_s, false, true, 1.5, 1.0, -1.0, -1.0, false);
  for (int kind = getchar(); kind != 'e'; kind = getchar()) {
    if (kind == 'i') {
      vision_msgs::msg::LabelInfo info;
      info.class_map.resize(get<uint32_t>());
      for (auto & each : info.class_map) {
        each.class_id = get<uint16_t>();
        each.class_name = get_text();
      }
      buffer.createSegmentationCostMultimap(info);
    } else if (kind == 's') {
      sensor_msgs::msg::Image segmentation;
      sensor_msgs::msg::PointCloud2 cloud;
      segmentation.height = get<uint32_t>();
      segmentation.width = get<uint32_t>();
      cloud.header.stamp.sec = get<int32_t>();
      cloud.header.stamp.nanosec = get<uint32_t>();
      const size_t pixels = size_t(segmentation.height) * segmentation.width;
      segmentation.data.resize(pixels);
      read(segmentation.data.data(), pixels);
      sensor_msgs::msg::Image confidence = segmentation;
      read(confidence.data.data(), pixels);
      cloud.xyz.resize(3 * pixels);
      read(cloud.xyz.data(), 12 * pixels);
      if (!buffer.isClassIdCostMapEmpty()) {
        buffer.bufferSegmentation(cloud, segmentation, confidence);
      }
    } else {
      return 4;
    }
  }
  const auto tiles = buffer.getSegmentationTileMap();
  tiles->purgeOldObservations(get<double>());
  for (auto & tile : *tiles) {
    auto & seen = tile.second;
    const auto cost = buffer.getCostForClassId(seen.getClassId());
    const bool is_most = static_cast<int>(seen.size()) >= cost.samples_to_max_cost &&
      seen.getConfidenceSum() / seen.size() > cost.mark_confidence;
    printf("%d %d %d\n", tile.first.x, tile.first.y, is_most ? cost.max_cost : cost.base_cost);
  }
}
