"""Judges what the doctor heard: QoS, rate, stamps, frames, units, sizes, pairing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import AceSlamError
from ..io.calibration import camera_from_message, has_size
from ..io.depth import unit_problem
from ..io.stamps import ADVICE, stamp_fault
from ..ros.inputs.camera_topics import CLOCK_GAP_NS, FUTURE_NS
from ..ros.messages.conversions import depth_from_msg, image_from_msg
from .findings import Finding, good, note, problem
from .topic_listener import COLOR, DEPTH, INFO, Endpoint, Heard, LiveSystem

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_LEAST_RATE_HZ, _GOOD_RATE_HZ = 5.0, 12.0
_LOST_SHARE = 0.02
_SIMULATED = "play them in simulated time, use_sim_time:=true (launch) or --clock (ace-slam up)"
#: Node names of ours and of `ros2 bag play`.
_PLAYERS = ("player", "rosbag2_player")
PROFILE = "start the driver with FASTRTPS_DEFAULT_PROFILES_FILE=config/fastdds.xml"
REALSENSE = (
    "camera:=realsense, or realsense2_camera with align_depth.enable:=true enable_sync:=true")


def stream_findings(
    stream: str, heard: Heard, system: LiveSystem, depth_unit_m: float = 0.0
) -> list[Finding]:
    """Judge one topic by itself; the first fault that explains all others stands alone."""
    topic = heard.topic
    blocking = unpublished(stream, heard, system) or wrong_type(heard) or silent(heard)
    if blocking is not None:
        return [*qos(heard), blocking]
    found = [*qos(heard), *stamps(heard, system)]
    if len(heard.publishers) > 1 and stream != INFO:
        found.append(problem(
            topic, f"has {len(heard.publishers)} publishers: {_names(heard.publishers)}",
            "stop all but one, or give each camera a namespace"))
    if stream != INFO:
        found += rate(heard)
    if "" in heard.frames:
        found.append(problem(topic, "messages have no frame_id",
                             "set the driver's frame_id, or ros.camera_extrinsic"))
    found += content(stream, heard, depth_unit_m)
    if not found:
        found = [good(topic, f"{heard.rate_hz:.1f} Hz, frame '{next(iter(heard.frames))}', "
                             f"{describe(heard.last)}")]
    return found


def unpublished(stream: str, heard: Heard, system: LiveSystem) -> Finding | None:
    """Tell what else could be meant when nobody publishes a topic."""
    if heard.publishers:
        return None
    others = [t for t in system.image_topics if (stream == DEPTH) == ("depth" in t)]
    if others and stream != INFO:
        name = {COLOR: "rgb/image", DEPTH: "depth/image"}[stream]
        return problem(
            heard.topic, f"nobody publishes it; there are {', '.join(sorted(others)[:4])}",
            f"--ros-args -r {name}:={sorted(others)[0]}, or {REALSENSE}")
    return problem(
        heard.topic, "nobody publishes it",
        "start the camera driver; compare ROS_DOMAIN_ID of both shells; `ros2 topic list`")


def wrong_type(heard: Heard) -> Finding | None:
    """Tell that the publishers send another type than the parameters ask for."""
    kinds = {e.kind for e in heard.publishers}
    if heard.wanted in kinds:
        return None
    found = ", ".join(sorted(kinds))
    fix = "remap to a topic of that type"
    if "sensor_msgs/msg/CompressedImage" in kinds:
        fix = "--set ros.color_transport=compressed (or ros.depth_transport=compressedDepth)"
    elif "sensor_msgs/msg/Image" in kinds:
        fix = "--set ros.color_transport=raw (or ros.depth_transport=raw)"
    return problem(heard.topic, f"is of type {found}, the nodes expect {heard.wanted}", fix)


def silent(heard: Heard) -> Finding | None:
    """Tell that a publisher exists and nothing comes."""
    if heard.stamps_ns:
        return None
    return problem(
        heard.topic, f"{_names(heard.publishers)} publishes it, but nothing arrives",
        "look at the driver's log; start it with the FastDDS profile of this package; in "
        "containers share /dev/shm (--ipc=host)")


def qos(heard: Heard) -> list[Finding]:
    """Find subscriptions that no publisher's QoS satisfies: they get nothing, silently."""
    found = []
    for subscription in heard.subscriptions:
        for publisher in heard.publishers:
            policy = None
            if (subscription.reliability, publisher.reliability) == ("RELIABLE", "BEST_EFFORT"):
                policy = "reliability"
            elif (subscription.durability, publisher.durability) == (
                    "TRANSIENT_LOCAL", "VOLATILE"):
                policy = "durability"
            if policy:
                asks, offers = (
                    getattr(e, policy) for e in (subscription, publisher))
                wanted = "best_effort" if policy == "reliability" else "volatile"
                found.append(problem(
                    heard.topic, f"{subscription.node} asks for {policy} {asks}, {publisher.node} "
                    f"offers {offers}: nothing is delivered",
                    f"set qos_overrides.{heard.topic}.subscription.{policy}: {wanted} for "
                    f"{subscription.node}, or change the publisher"))
    return found


def stamps(heard: Heard, system: LiveSystem) -> list[Finding]:
    """Find stamps that are zero, of another clock, in the future, or that go back."""
    found = []
    stamps_ns = np.array(heard.stamps_ns)
    arrivals_ns = np.array(heard.arrivals_ns)
    fault = stamp_fault(heard.stamps_ns)
    if fault and (heard.wanted != CAMERA_INFO or not stamps_ns.any()):  # once is enough for that
        return [problem(heard.topic, fault, ADVICE)]
    steps_ns = np.diff(stamps_ns)
    if player := played(heard):
        return [] if system.clock_ns else [note(
            heard.topic, f"{player} plays what was recorded: stamps are those of then, and go "
            "back with every pass", _SIMULATED)]
    if (steps_ns < 0).any():
        found.append(problem(
            heard.topic, f"stamps go back, {int((steps_ns < 0).sum())} times, by up to "
            f"{-steps_ns.min() * 1e-9:.2f} s",
            f"one publisher per topic; a looped bag: {_SIMULATED}"))
    elif (steps_ns == 0).any():
        found.append(note(heard.topic, f"{int((steps_ns == 0).sum())} messages repeat a stamp"))
    gap_ns = int(np.median(arrivals_ns - stamps_ns))
    if abs(gap_ns) > CLOCK_GAP_NS:
        simulated = system.clock_ns and abs(system.clock_ns - stamps_ns[-1]) < CLOCK_GAP_NS
        if not simulated:
            found.append(problem(
                heard.topic, f"stamps are {gap_ns * 1e-9:.0f} s from this machine's clock",
                f"synchronize the clocks (chrony); bags: {_SIMULATED}"))
    elif gap_ns < -FUTURE_NS:
        found.append(problem(
            heard.topic, f"stamps lie {-gap_ns * 1e-9:.2f} s in the future: the camera's clock is "
            "ahead", "synchronize the clocks (chrony), or let the driver use system time"))
    return found


def played(heard: Heard) -> str:
    """Return the node that plays a recording on a topic, empty where a camera publishes."""
    return next((e.node for e in heard.publishers if e.node.rsplit("/", 1)[-1] in _PLAYERS), "")


def rate(heard: Heard) -> list[Finding]:
    """Find streams too slow to be followed, and gaps."""
    if heard.rate_hz < _LEAST_RATE_HZ:
        return [problem(
            heard.topic, f"arrives at {heard.rate_hz:.1f} Hz, tracking needs {_LEAST_RATE_HZ:g}",
            "raise the driver's frame rate; start it with the FastDDS profile of this package")]
    found = []
    if heard.rate_hz < _GOOD_RATE_HZ:
        found.append(note(heard.topic, f"arrives at {heard.rate_hz:.1f} Hz: move slowly"))
    lost = heard.lost()
    if lost is None:  # without numbers a camera that pauses looks like a middleware that loses
        gaps = missing_by_stamp(heard.stamps_ns)
        if gaps > _LOST_SHARE * len(heard.stamps_ns):
            found.append(note(heard.topic, f"stamps have {gaps} gaps: images are lost or the "
                              "camera pauses", PROFILE))
    elif lost > _LOST_SHARE * len(heard.stamps_ns):
        share = lost / (lost + len(heard.stamps_ns))
        found.append(problem(
            heard.topic, f"{100 * share:.0f} % of the images are lost on the way", PROFILE))
    return found


def missing_by_stamp(stamps_ns: list[int]) -> int:
    """Count the images that a regular camera would have sent between those that came."""
    steps_ns = np.diff(np.array(stamps_ns))
    positive = steps_ns[steps_ns > 0]
    if len(positive) < 5:
        return 0
    usual_ns = float(np.median(positive))
    return int(sum(round(s / usual_ns) - 1 for s in positive if s < 20 * usual_ns))


def content(stream: str, heard: Heard, depth_unit_m: float = 0.0) -> list[Finding]:
    """Decode the newest message: encoding, units, range, calibration."""
    try:
        if stream == INFO:
            info = heard.last  # without a size that of the image counts, see `_calibrated_size`
            camera_from_message(info, (max(1, round(2 * info.k[2])), max(1, round(2 * info.k[5]))))
            return []
        if stream == COLOR:
            image_from_msg(heard.last)
            return []
        depth_m = depth_from_msg(heard.last, depth_unit_m)
    except AceSlamError as error:
        fix = "publish rgb8, bgr8 or mono8" if stream == COLOR else (
            "publish registered depth as 16UC1 (millimeters) or 32FC1 (meters)")
        if stream == INFO:
            fix = "calibrate the camera (`ros2 run camera_calibration cameracalibrator`)"
        return [problem(heard.topic, str(error), fix)]
    known = depth_m[depth_m > 0.0]
    if not len(known):
        return [problem(heard.topic, "no pixel has depth",
                        "uncover the camera; check the depth stream and its range")]
    if wrong := unit_problem(depth_m, getattr(heard.last, "encoding", "compressed depth")):
        text, _, fix = wrong.partition("; ")
        return [problem(heard.topic, text, fix)]
    if len(known) < 0.2 * depth_m.size:
        return [note(heard.topic, f"only {100 * len(known) / depth_m.size:.0f} % of the pixels "
                     "have depth", "check the distance, sunlight, and the projector")]
    return []


def pairing(heard: dict[str, Heard], slop_s: float) -> list[Finding]:
    """Judge color, depth and calibration together."""
    color, depth, info = heard[COLOR], heard[DEPTH], heard[INFO]
    if not (color.stamps_ns and depth.stamps_ns):
        return []
    found = []
    frames = [next(iter(h.frames)) for h in (color, depth)]
    if frames[0] != frames[1]:
        found.append(problem(
            "depth registration", f"color is in frame '{frames[0]}', depth in '{frames[1]}': "
            "depth must be registered to color", REALSENSE))
    sizes = {h.topic: (h.last.width, h.last.height) for h in (color, depth)
             if hasattr(h.last, "width")}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{t} {w}x{h}" for t, (w, h) in sizes.items())
        found.append(problem("depth registration", f"sizes differ: {said}", REALSENSE))
    if info.last is not None and hasattr(color.last, "width"):
        found += _calibrated_size(info, color)
    return [*found, *sync_gap(color, depth, slop_s)]


def _calibrated_size(info: Heard, color: Heard) -> list[Finding]:
    """Compare the size that the calibration is of with that of the image."""
    size, image = (info.last.width, info.last.height), (color.last.width, color.last.height)
    if not has_size(info.last):
        try:
            camera_from_message(info.last, image)
        except AceSlamError as error:
            return [problem(info.topic, str(error), "calibrate the camera at this resolution")]
        return []
    if info.last.roi.width or info.last.binning_x > 1 or size == image:
        return []
    return [problem(
        info.topic, f"is of a {size[0]}x{size[1]} camera, the image has {image[0]}x{image[1]}",
        "remap rgb/camera_info to the info beside the color image")]


def sync_gap(color: Heard, depth: Heard, slop_s: float) -> list[Finding]:
    """Compare the stamps of both streams with the slop of the pairing."""
    depths = np.sort(np.array(depth.stamps_ns))
    colors = np.array(color.stamps_ns)
    colors = colors[(colors >= depths[0] - 10**8) & (colors <= depths[-1] + 10**8)]
    if not len(colors):
        return [problem(
            "sync gap", "color and depth stamps have no time in common: two clocks",
            "let the driver stamp both with one clock (global_time_enabled:=true)")]
    after = np.clip(np.searchsorted(depths, colors), 1, max(len(depths) - 1, 1))
    near = depths[np.minimum(after, len(depths) - 1)]
    gaps_ns = np.minimum(np.abs(near - colors), np.abs(depths[after - 1] - colors))
    worst_s = float(np.percentile(gaps_ns, 90)) * 1e-9
    if worst_s > slop_s:
        return [problem(
            "sync gap", f"color and depth are {worst_s:.3f} s apart (90th percentile), "
            f"ros.slop_s is {slop_s:g} s",
            f"turn on the driver's synchronization (enable_sync:=true), or --set "
            f"ros.slop_s={min(worst_s * 1.3, 1.0):.3f}")]
    return [good("sync gap", f"{worst_s * 1e3:.1f} ms (90th percentile)")]


def describe(message: Any) -> str:
    """Return size and encoding of a message."""
    if hasattr(message, "format"):
        return str(message.format)
    size = f"{message.width}x{message.height}"
    return f"{size} {message.encoding}" if hasattr(message, "encoding") else size


def _names(endpoints: list[Endpoint]) -> str:
    return ", ".join(sorted({e.node for e in endpoints}))
