// SPDX-FileCopyrightText: 2026 The vos_ros authors
// SPDX-License-Identifier: Apache-2.0
//
// As much of ROS as the SegmentationBuffer of Nav2's semantic segmentation layer needs to compile
// and to compute: messages, parameters by hand, no transforms (the cloud is in the costmap's frame).
#pragma once
#include <chrono>
#include <cmath>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#define RCLCPP_INFO(...)
#define RCLCPP_DEBUG(...)
#define RCLCPP_WARN(...)
#define RCLCPP_ERROR(...)

// Only for the outline of the view, which is not asked for.
namespace Eigen
{
struct Vector3d
{
  double v[3]{0, 0, 0};
  Vector3d() = default;
  Vector3d(double x, double y, double z) : v{x, y, z} {}
  double x() const {return v[0];}
  double y() const {return v[1];}
  double z() const {return v[2];}
  static Vector3d UnitX() {return {1, 0, 0};}
  static Vector3d UnitY() {return {0, 1, 0};}
  static Vector3d UnitZ() {return {0, 0, 1};}
  Vector3d normalized() const {return *this;}
};
inline Vector3d operator*(double s, const Vector3d & a) {return {s * a.v[0], s * a.v[1], s * a.v[2]};}
inline Vector3d operator+(const Vector3d & a, const Vector3d & b)
{
  return {a.v[0] + b.v[0], a.v[1] + b.v[1], a.v[2] + b.v[2]};
}
struct Quaterniond
{
  Quaterniond() = default;
  Quaterniond(double, double, double, double) {}
  void normalize() {}
  Vector3d operator*(const Vector3d & a) const {return a;}
};
struct AngleAxisd
{
  AngleAxisd(double, const Vector3d &) {}
};
struct Affine3d
{
  explicit Affine3d(const AngleAxisd &) {}
  Affine3d operator*(const Affine3d & other) const {return other;}
  Vector3d operator*(const Vector3d & a) const {return a;}
};
}  // namespace Eigen

namespace builtin_interfaces::msg
{
struct Time
{
  int32_t sec = 0;
  uint32_t nanosec = 0;
};
}  // namespace builtin_interfaces::msg

namespace rclcpp
{
struct Duration
{
  double s;
  explicit Duration(std::chrono::duration<double> d) : s(d.count()) {}
  static Duration from_seconds(double s) {return Duration(std::chrono::duration<double>(s));}
  double seconds() const {return s;}
  bool operator==(const Duration & other) const {return s == other.s;}
  bool operator<=(const Duration & other) const {return s <= other.s;}
};
struct Time
{
  double s = 0;
  Time() = default;
  Time(int32_t sec, uint32_t nanosec) : s(sec + nanosec * 1e-9) {}
  double seconds() const {return s;}
  operator builtin_interfaces::msg::Time() const {return {};}
};
inline Duration operator-(const Time & a, const Time & b) {return Duration::from_seconds(a.s - b.s);}
struct Logger {};
inline Logger get_logger(const std::string &) {return {};}
struct Clock
{
  using SharedPtr = std::shared_ptr<Clock>;
  Time now() {return {};}
};
template<class T> struct Publisher
{
  using SharedPtr = std::shared_ptr<Publisher<T>>;
  void publish(const T &) {}
};
}  // namespace rclcpp

namespace nav2
{
struct LifecycleNode
{
  using WeakPtr = std::weak_ptr<LifecycleNode>;
  rclcpp::Clock::SharedPtr get_clock() {return std::make_shared<rclcpp::Clock>();}
  rclcpp::Logger get_logger() {return {};}
  rclcpp::Time now() {return {};}
  template<class T> typename rclcpp::Publisher<T>::SharedPtr create_publisher(const std::string &, int)
  {
    return nullptr;
  }
};
}  // namespace nav2

namespace std_msgs::msg
{
struct Header
{
  builtin_interfaces::msg::Time stamp;
  std::string frame_id;
};
}  // namespace std_msgs::msg

namespace geometry_msgs::msg
{
struct Point {double x = 0, y = 0, z = 0;};
struct Quaternion {double x = 0, y = 0, z = 0, w = 1;};
struct PointStamped {std_msgs::msg::Header header; Point point;};
struct Transform {Quaternion rotation;};
struct TransformStamped {Transform transform;};
}  // namespace geometry_msgs::msg

namespace visualization_msgs::msg
{
struct Marker
{
  static constexpr int LINE_STRIP = 4, ADD = 0;
  std_msgs::msg::Header header;
  std::string ns;
  int id = 0, type = 0, action = 0;
  geometry_msgs::msg::Point scale;
  struct {float r = 0, g = 0, b = 0, a = 0;} color;
  std::vector<geometry_msgs::msg::Point> points;
};
}  // namespace visualization_msgs::msg

namespace sensor_msgs
{
namespace msg
{
struct PointField {enum {FLOAT32 = 7, UINT8 = 2};};
struct Image
{
  std_msgs::msg::Header header;
  uint32_t height = 0, width = 0;
  std::vector<uint8_t> data;
};
struct PointCloud2
{
  std_msgs::msg::Header header;
  std::vector<float> xyz;
};
}  // namespace msg
template<class T> struct PointCloud2ConstIterator
{
  const float * at;
  PointCloud2ConstIterator(const msg::PointCloud2 & cloud, const std::string & field)
  : at(cloud.xyz.data() + (field[0] - 'x')) {}
  const T & operator*() const {return *at;}
  PointCloud2ConstIterator & operator++() {at += 3; return *this;}
};
template<class T> struct PointCloud2Iterator
{
  T value{};
  PointCloud2Iterator(msg::PointCloud2 &, const std::string &) {}
  T & operator*() {return value;}
  PointCloud2Iterator & operator++() {return *this;}
};
struct PointCloud2Modifier
{
  explicit PointCloud2Modifier(msg::PointCloud2 &) {}
  template<class ... Fields> void setPointCloud2Fields(int, Fields ...) {}
  void resize(size_t) {}
};
}  // namespace sensor_msgs

namespace vision_msgs::msg
{
struct VisionClass {uint16_t class_id = 0; std::string class_name;};
struct LabelInfo {std::vector<VisionClass> class_map;};
}  // namespace vision_msgs::msg

namespace tf2
{
using Duration = std::chrono::nanoseconds;
struct TransformException : std::runtime_error
{
  using std::runtime_error::runtime_error;
};
}  // namespace tf2

namespace tf2_ros
{
struct Buffer
{
  template<class T> void transform(const T & in, T & out, const std::string &, tf2::Duration)
  {
    out = in;
  }
  geometry_msgs::msg::TransformStamped lookupTransform(
    const std::string &, const std::string &, builtin_interfaces::msg::Time, tf2::Duration)
  {
    return {};
  }
};
}  // namespace tf2_ros
