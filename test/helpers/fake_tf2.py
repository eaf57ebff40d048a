"""The part of tf2_ros that our nodes use, as a module for machines that lack the package.

Buffer and listener have tf2_ros's signatures, so that the code meant for a robot runs here too.
"""

from types import ModuleType

from tf2_msgs.msg import TFMessage

from ace_slam_ros.ros.messages.conversions import ns_to_stamp, stamp_to_ns
from ace_slam_ros.ros.messages.poses import transform_from_msg
from ace_slam_ros.ros.qos import latched_qos, reliable_qos
from ace_slam_ros.ros.tf.interface import StampedTransform
from ace_slam_ros.ros.tf.tree import TransformTree


class TransformException(Exception):
    pass


class Buffer:
    def __init__(self, cache_time=None, node=None):
        self._tree = TransformTree()

    def set_transform(self, transform, authority):
        self._add(transform, False)

    def set_transform_static(self, transform, authority):
        self._add(transform, True)

    def _add(self, item, static):
        self._tree.add(StampedTransform(
            item.header.frame_id, item.child_frame_id, stamp_to_ns(item.header.stamp),
            transform_from_msg(item.transform)), static)

    def lookup_transform(self, target_frame, source_frame, time):
        found = self._tree.lookup(target_frame, source_frame, time.nanoseconds)
        if found is None:
            raise TransformException(f"{target_frame} and {source_frame} are not connected")
        message = StampedTransform(target_frame, source_frame, time.nanoseconds, found).to_msg()
        message.header.stamp = ns_to_stamp(time.nanoseconds)
        return message

    def clear(self):
        self._tree.clear()


class TransformListener:
    def __init__(self, buffer, node):
        self.node = node
        static_qos = latched_qos()
        static_qos.depth = 100
        self.subscriptions = [
            node.create_subscription(TFMessage, "/tf", lambda m: [
                buffer.set_transform(t, "default_authority") for t in m.transforms],
                reliable_qos(100)),
            node.create_subscription(TFMessage, "/tf_static", lambda m: [
                buffer.set_transform_static(t, "default_authority") for t in m.transforms],
                static_qos)]

    def unregister(self):
        for subscription in self.subscriptions:
            self.node.destroy_subscription(subscription)


class TransformBroadcaster:
    def __init__(self, node):
        self.publisher = node.create_publisher(TFMessage, "/tf", reliable_qos(100))

    def sendTransform(self, transform):  # noqa: N802 (its name in tf2_ros)
        self.publisher.publish(TFMessage(transforms=list(transform)))


def fake_tf2_ros():
    """Return the module."""
    module = ModuleType("tf2_ros")
    for item in (TransformException, Buffer, TransformListener, TransformBroadcaster):
        setattr(module, item.__name__, item)
    return module
