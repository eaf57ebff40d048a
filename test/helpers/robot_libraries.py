"""The parts of ROS's libraries that our nodes use, for machines that lack them (not on PyPI).

Written from the libraries' own sources, with their signatures, errors and oddities, and without
our code, so that the code meant for a robot runs here too and has something to differ from.
"""

import importlib.util
import math
import sys
import threading
from array import array
from types import ModuleType

import cv2
import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from scipy.spatial.transform import Rotation, Slerp
from sensor_msgs.msg import PointCloud2, PointField

#: Asked before any test puts a stand-in there.
INSTALLED = {name for name in (
    "cv_bridge", "message_filters", "sensor_msgs_py", "tf_transformations", "tf2_ros")
    if importlib.util.find_spec(name) is not None}


# cv_bridge ---------------------------------------------------------------------------------


class CvBridgeError(TypeError):
    pass


_CONVERSIONS = {
    "rgb8": None, "bgr8": cv2.COLOR_BGR2RGB, "bgra8": cv2.COLOR_BGRA2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB, "mono8": cv2.COLOR_GRAY2RGB,
    "bayer_rggb8": cv2.COLOR_BayerBG2RGB, "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGR2RGB, "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
}


class CvBridge:
    def imgmsg_to_cv2(self, img_msg, desired_encoding="passthrough"):
        if img_msg.encoding not in _CONVERSIONS or desired_encoding != "rgb8":
            raise CvBridgeError(f"[{img_msg.encoding}] is not a color format. but [rgb8] is.")
        channels = {"rgb8": 3, "bgr8": 3, "bgra8": 4, "rgba8": 4}.get(img_msg.encoding, 1)
        shape = (img_msg.height, img_msg.step // channels, channels)
        stored = np.ndarray(shape, np.uint8, img_msg.data)[:, :img_msg.width].squeeze()
        code = _CONVERSIONS[img_msg.encoding]
        return stored if code is None else cv2.cvtColor(np.ascontiguousarray(stored), code)


# message_filters ---------------------------------------------------------------------------


class SimpleFilter:
    def __init__(self):
        self.callbacks = {}

    def registerCallback(self, cb, *args):  # noqa: N802
        conn = len(self.callbacks)
        self.callbacks[conn] = (cb, args)
        return conn

    def signalMessage(self, *msg):  # noqa: N802
        for cb, args in self.callbacks.values():
            cb(*(msg + args))


class ApproximateTimeSynchronizer(SimpleFilter):
    """For two inputs; as in the original, an exception leaves its lock taken."""

    def __init__(self, fs, queue_size, slop, allow_headerless=False):
        super().__init__()
        self.queues = [{} for _ in fs]
        self.queue_size, self.slop = queue_size, Duration(seconds=slop)
        self.lock = threading.Lock()
        for index, (source, queue) in enumerate(zip(fs, self.queues, strict=True)):
            source.registerCallback(self.add, queue, index)

    def add(self, msg, my_queue, my_queue_index=None):
        stamp = Time.from_msg(msg.header.stamp)
        self.lock.acquire()
        my_queue[stamp.nanoseconds] = msg
        while len(my_queue) > self.queue_size:
            del my_queue[min(my_queue)]
        other = self.queues[1 - my_queue_index]
        near = sorted((abs(ns - stamp.nanoseconds), ns) for ns in other)
        for gap_ns, ns in near:
            if Duration(nanoseconds=gap_ns) < self.slop and stamp.nanoseconds in my_queue:
                stamps = [ns, ns]
                stamps[my_queue_index] = stamp.nanoseconds
                self.signalMessage(*(q[t] for q, t in zip(self.queues, stamps, strict=True)))
                for queue, t in zip(self.queues, stamps, strict=True):
                    del queue[t]
                break
        self.lock.release()


# sensor_msgs_py.point_cloud2, tf_transformations ---------------------------------------------


def create_cloud_xyz32(header, points):
    fields = [PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1)
              for i, n in enumerate("xyz")]
    return PointCloud2(
        header=header, height=1, width=len(points), is_dense=False, is_bigendian=False,
        fields=fields, point_step=12, row_step=12 * len(points),
        data=array("B", np.asarray(points, "<f4").tobytes()))


def quaternion_from_matrix(matrix):
    q_4 = Rotation.from_matrix(np.asarray(matrix)[:3, :3]).as_quat()
    return -q_4 if q_4[3] >= 0.0 else q_4  # either sign is its right


def quaternion_matrix(quaternion):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    return matrix


# tf2_ros -----------------------------------------------------------------------------------


class TransformException(Exception):
    pass


class LookupException(TransformException):
    pass


class ConnectivityException(TransformException):
    pass


class Buffer:
    """Ten seconds of each frame; the kind that a frame was last said to be counts."""

    CACHE_NS = 10 * 10**9

    def __init__(self, cache_time=None, node=None):
        self._frames, self._lock = {}, threading.Lock()
        self._names = set()

    def set_transform(self, transform, authority):
        self._add(transform, False)

    def set_transform_static(self, transform, authority):
        self._add(transform, True)

    def _add(self, item, static):
        t, q = item.transform.translation, item.transform.rotation
        numbers = (t.x, t.y, t.z, q.x, q.y, q.z, q.w)
        if any(math.isnan(v) for v in numbers) or abs(sum(v * v for v in numbers[3:]) - 1) > 1e-2:
            return
        stamp_ns = Time.from_msg(item.header.stamp).nanoseconds
        child, parent = item.child_frame_id.lstrip("/"), item.header.frame_id.lstrip("/")
        entry = (stamp_ns, parent, np.array(numbers[:3]), np.array(numbers[3:]))
        with self._lock:
            self._names |= {child, parent}
            was_static, entries = self._frames.get(child, (static, []))
            if was_static != static or static:
                entries = []
            newest = max((e[0] for e in entries), default=stamp_ns)
            if stamp_ns >= newest - self.CACHE_NS and stamp_ns not in [e[0] for e in entries]:
                newest = max(newest, stamp_ns)
                entries = sorted([*entries, entry], key=lambda e: e[0])
                entries = [e for e in entries if e[0] >= newest - self.CACHE_NS]
            self._frames[child] = (static, entries)

    def _step(self, child, stamp_ns):
        """Return (parent, rotation, position) of a frame; None where it ends."""
        static, entries = self._frames.get(child, (True, []))
        if not entries:
            return None
        if static:
            _, parent, t, q = entries[-1]
            return parent, Rotation.from_quat(q), t
        later = [e for e in entries if e[0] >= stamp_ns]
        earlier = [e for e in entries if e[0] <= stamp_ns]
        if not later or not earlier:
            return None
        (ns0, parent0, t0, q0), (ns1, parent1, t1, q1) = earlier[-1], later[0]
        if ns0 == ns1 or parent0 != parent1:
            return parent0, Rotation.from_quat(q0), t0
        part = (stamp_ns - ns0) / (ns1 - ns0)
        turn = Slerp([0, 1], Rotation.from_quat([q0, q1]))(part)
        return parent0, turn, (1 - part) * t0 + part * t1

    def _walk(self, frame, stamp_ns):
        """Yield (ancestor, rotation and position of the frame in it), the frame itself first."""
        turn, position, seen = Rotation.identity(), np.zeros(3), {frame}
        yield frame, turn, position
        while (step := self._step(frame, stamp_ns)) is not None and step[0] not in seen:
            frame, R, t = step
            seen.add(frame)
            turn, position = R * turn, R.apply(position) + t
            yield frame, turn, position

    def _newest(self, *frames):
        """Return the newest time at which two frames are connected: what time 0 asks for."""
        walks = []
        for frame in frames:
            stamp_ns, walk = math.inf, {}
            while frame not in walk:
                walk[frame] = stamp_ns
                static, entries = self._frames.get(frame, (True, []))
                if entries:
                    stamp_ns = stamp_ns if static else min(stamp_ns, entries[-1][0])
                    frame = entries[-1][1]
            walks.append(walk)
        common = [min(walks[0][f], s) for f, s in walks[1].items() if f in walks[0]]
        return 0 if not common or common[0] == math.inf else common[0]

    def lookup_transform(self, target_frame, source_frame, time):
        if not (isinstance(target_frame, str) and isinstance(source_frame, str)):
            raise TypeError("argument must be str")
        if target_frame == source_frame:
            return _stamped(
                target_frame, source_frame, time, Rotation.identity(), np.zeros(3))
        with self._lock:
            for frame in (target_frame, source_frame):
                if frame not in self._names:
                    raise LookupException(f'"{frame}" passed to lookupTransform does not exist.')
            if time.nanoseconds == 0:
                time = Time(nanoseconds=self._newest(target_frame, source_frame))
            ups = {frame: (R, t) for frame, R, t in self._walk(target_frame, time.nanoseconds)}
            for frame, R, t in self._walk(source_frame, time.nanoseconds):
                if frame in ups:
                    R_up, t_up = ups[frame]
                    found = (R_up.inv() * R, R_up.inv().apply(t - t_up))
                    return _stamped(target_frame, source_frame, time, *found)
        raise ConnectivityException(f"{target_frame} and {source_frame} are not connected")

    def clear(self):
        with self._lock:
            self._frames = {n: (s, e if s else []) for n, (s, e) in self._frames.items()}


def _stamped(target_frame, source_frame, time, turn, position):
    message = TransformStamped(child_frame_id=source_frame)
    message.header.frame_id, message.header.stamp = target_frame, time.to_msg()
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = (float(v) for v in position)
    q.x, q.y, q.z, q.w = (float(v) for v in turn.as_quat())
    return message


class TransformListener:
    def __init__(self, buffer, node):
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from tf2_msgs.msg import TFMessage

        self.node, self.buffer = node, buffer
        self.tf_sub = node.create_subscription(
            TFMessage, "/tf", lambda m: self._hear(m, buffer.set_transform), QoSProfile(depth=100))
        self.tf_static_sub = node.create_subscription(
            TFMessage, "/tf_static", lambda m: self._hear(m, buffer.set_transform_static),
            QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL))

    def _hear(self, message, store):
        for transform in message.transforms:
            store(transform, "default_authority")

    def unregister(self):
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)


class TransformBroadcaster:
    def __init__(self, node):
        from rclpy.qos import QoSProfile
        from tf2_msgs.msg import TFMessage

        self.message = TFMessage
        self.pub_tf = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))

    def sendTransform(self, transform):  # noqa: N802
        transforms = list(transform) if hasattr(transform, "__iter__") else [transform]
        self.pub_tf.publish(self.message(transforms=transforms))


# ------------------------------------------------------------------------------------------


def _modules():
    contents = {
        "cv_bridge": (CvBridge, CvBridgeError),
        "message_filters": (SimpleFilter, ApproximateTimeSynchronizer),
        "sensor_msgs_py": (), "sensor_msgs_py.point_cloud2": (create_cloud_xyz32,),
        "tf_transformations": (quaternion_from_matrix, quaternion_matrix),
        "tf2_ros": (Buffer, TransformListener, TransformBroadcaster, TransformException,
                    LookupException, ConnectivityException),
    }
    for name, items in contents.items():
        if name.partition(".")[0] not in INSTALLED:
            module = ModuleType(name)
            for item in items:
                setattr(module, item.__name__, item)
            yield name, module


def install(monkeypatch):
    """Put a stand-in where a library is not installed, for one test."""
    for name, module in _modules():
        monkeypatch.setitem(sys.modules, name, module)
