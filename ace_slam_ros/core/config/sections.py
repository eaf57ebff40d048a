"""Every parameter of the system: frozen dataclasses with defaults, units, ranges and meaning.

The yaml files in `config/`, the ROS parameters and the table in the documentation are generated
from these fields; nothing else holds a default.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import yaml

from ..errors import ConfigError
from .cameras import AUTO, FAMILIES, NONE
from .fields import Checked, flatten, param
from .navigation import GridConfig

if TYPE_CHECKING:
    from typing import Self  # Python 3.11; only type checkers read this

log = logging.getLogger(__name__)

#: Largest stamp gap of an image pair, live and in recordings, unless told otherwise.
SLOP_S = 0.02
#: The sections of the nodes.
NODE_SECTIONS = ("ros", "obstacles")
#: Parameters by their names in earlier versions; these go on working.
RENAMED = {"ros.mode": "mode", "tracker.segment_after_s": "tracker.submap_after_s",
           "head.neighbours": "head.neighbors"}


@dataclass(frozen=True)
class SensorConfig(Checked, section="sensor"):
    """The depth camera."""

    preset: str = param(
        "auto", "family of the camera, whose noise and range count where the four parameters of "
        "these have their defaults; auto = as names of driver, topics or frames tell, else none",
        choices=(AUTO, NONE, *FAMILIES))
    min_depth_m: float = param(0.3, "nearer depth is ignored", "m", 0.0, 10.0)
    max_depth_m: float = param(6.0, "farther depth is ignored", "m", 0.1, 100.0)
    depth_unit_m: float = param(
        0.0, "meters per unit of integer depth images: 0.001 = millimeters, 0.0001 of a D405; 0 = "
        "as camera.yaml says, of topics and bags millimeters", "m", 0.0, 1.0)
    noise_base_m: float = param(
        0.001, "a in the depth noise model sigma = a + b z^2", "m", 1e-5, 0.1)
    noise_quadratic: float = param(
        0.0025, "b in the depth noise model sigma = a + b z^2",
        "1/m", 0.0, 0.1)
    pixel_sigma: float = param(
        1.0, "standard deviation of an image measurement", "px", 0.05, 10.0)

    readout_s: float = param(
        -1.0, "time from the first row of the color image to the last (rolling shutter), the "
        "stamp being that of the first; 0 = all rows at once, negative = measured while tracking",
        "s", -1.0, 0.1)
    stamp_sigma_s: float = param(
        0.01, "standard deviation of the time from an image's stamp to what it shows, in which a "
        "camera moves on: added to the covariance along its motion; 0 = stamps are exact", "s",
        0.0, 0.2)
    mask: str = param(
        "", "path of an image, black where the camera sees the robot itself; empty = parts of the "
        "robot are only found while the camera moves")

    def depth_sigma_m(self, depth_m: Any) -> Any:
        """Standard deviation of a depth measurement: a + b z^2, for numbers, arrays, tensors."""
        return self.noise_base_m + self.noise_quadratic * depth_m**2


@dataclass(frozen=True)
class EncoderConfig(Checked, section="encoder"):
    """The frozen image encoder."""

    name: str = param(
        "tiny", "which encoder: tiny ships with the package, the others need encoder.weights",
        choices=("tiny", "xfeat", "superpoint", "ace", "dinov2"))
    weights: str = param("", "path of encoder weights; empty = the weights shipped with it")
    weights_sha256: str = param(
        "", "SHA-256 (64 hex digits) that the weights must have; empty = any")
    codebook: str = param(
        "", "path of the codebook; empty = beside the weights, where training/build_codebook.py "
        "writes it")
    precision: str = param(
        "auto", "of the encoder's layers; auto = bf16 where the processor computes in it, else "
        "fp32", choices=("auto", "fp32", "bf16"))
    runtime: str = param(
        "auto", "what runs the layers of the encoder that ships on a CPU; auto = openvino "
        "where it is installed (x86), else torch; other encoders and GPUs use torch",
        choices=("auto", "torch", "openvino"))
    threads: int = param(
        0, "threads of torch and OpenVINO in the process; 0 = 1 in a ROS node, half the cores in "
        "`ace-slam run`", "", 0, 256)


@dataclass(frozen=True)
class FeatureConfig(Checked, section="features"):
    """Which cells of the encoder's grid become features."""

    mode: str = param(
        "dense", "dense: the cells of the grid with most texture; sparse: of these only the ones "
        "with more texture than their neighbors, or the encoder's own keypoints (superpoint)",
        choices=("dense", "sparse"))
    count: int = param(1200, "features per frame at most", "", 50, 20000)


@dataclass(frozen=True)
class HeadConfig(Checked, section="head"):
    """The scene head: local affine experts, tokens, or a network trained by replay."""

    type: str = param(
        "affine", "kind of head of a new map; affine: local affine experts in closed form, "
        "aceg: tokens that features attend to (ACE-G), affine+aceg: both are asked, trimlp: "
        "network that votes on three planes (ACE-SLAM), hommlp: network that regresses "
        "homogeneous points (ACE)",
        choices=("affine", "aceg", "affine+aceg", "trimlp", "hommlp"))
    experts_per_word: int = param(64, "places one word may stand for (aliasing)", "", 1, 255)
    max_experts: int = param(
        29000, "experts at most, 34 bytes each with 8 inputs; beyond, every cubic meter keeps "
        "those that most keyframes confirmed", "", 100, 1000000)
    inputs: int = param(
        8, "principal directions of a descriptor around its word that an expert uses", "", 1, 16)
    neighbors: int = param(1, "nearest words a feature belongs to", "", 1, 8)
    ridge: float = param(
        0.1, "ridge of the expert fit in units of samples of unit variance", "", 1e-6, 100.0)
    new_expert_m: float = param(
        0.12, "a sample farther than this from every expert of its word starts another one", "m",
        0.01, 10.0)
    tokens: int = param(
        17500, "aceg: tokens at most, 56 bytes each; beyond, every part of space keeps those that "
        "most keyframes confirmed", "", 100, 1000000)
    token_m: float = param(
        0.05, "aceg: features that look alike and are nearer than this share a token", "m", 0.005,
        1.0)
    token_similarity: float = param(
        0.8, "aceg: least cosine of the keys of what looks alike", "", -1.0, 1.0)
    hidden_width: int = param(256, "trimlp, hommlp: width of the hidden layers", "", 16, 2048)
    hidden_layers: int = param(2, "trimlp, hommlp: hidden layers", "", 1, 8)
    extent_m: float = param(
        0.0, "trimlp: side of the first grid; 0 = as far as the first keyframe sees", "m", 0.0,
        1000.0)
    extent_margin: float = param(
        0.2, "trimlp: added on every side of the first grid, as a share of it", "", 0.0, 5.0)
    grid_cells: int = param(
        10, "trimlp: cells along the longest side of the first grid", "", 2, 128)
    grid_votes: int = param(
        1728, "trimlp: cells of the three planes together at most; a grid that grows beyond it "
        "merges cells in pairs", "", 12, 100000)
    learning_rate: float = param(0.004, "trimlp, hommlp: step size of Adam", "", 1e-6, 0.1)
    batch_features: int = param(512, "trimlp, hommlp: features per gradient step", "", 16, 65536)
    steps_first: int = param(
        300, "trimlp, hommlp: gradient steps for the first keyframe when time does not count "
        "(--every-frame)", "", 1, 100000)
    steps_per_keyframe: int = param(
        80, "trimlp, hommlp: gradient steps for each further keyframe when time does not count",
        "", 1, 10000)
    replay_features: int = param(
        1200, "trimlp, hommlp: features kept of a keyframe for replay", "", 50, 20000)
    descriptor_noise: float = param(
        0.5, "trimlp, hommlp: length of the random vector added to a descriptor (of length 1) in "
        "training with one keyframe, so that other views are placed as well; 1 / sqrt(n) of it "
        "with n keyframes", "", 0.0, 5.0)
    newest_keyframes: int = param(
        5, "trimlp, hommlp: newest keyframes that are always in the window (W_L)", "", 1, 100)
    newest_share: float = param(
        0.3, "trimlp, hommlp: share of the replayed features that the newest keyframes get", "",
        0.0, 1.0)
    error_weight: float = param(
        0.1, "trimlp, hommlp: alpha in the weight 1/|P| + alpha (1 - lambda) of one of |P| "
        "keyframes, lambda being the share of its features that agree with the head", "",
        0.0, 100.0)


@dataclass(frozen=True)
class SolverConfig(Checked, section="solver"):
    """Robust pose from scene coordinates."""

    hypotheses: int = param(
        512, "3-point hypotheses tried per frame, until one is good", "", 8, 4096)
    inlier_m: float = param(
        0.05, "inlier gate at 1 m before depth noise is added", "m", 0.001, 1.0)
    min_inliers: int = param(40, "fewer inliers are no pose", "", 6, 10000)
    min_confidence: float = param(
        0.05, "a pose with which a smaller share of the features agrees beyond chance is none, "
        "for tracking, for the end of LOST and for relocalize (whose request may ask for more); "
        "in unknown places poses reach 0.03", "", 0.01, 1.0)

    def gate_m(self, depth_m: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the inlier gate at depths, before depth noise is added; constant up to 2 m."""
        return self.inlier_m * np.maximum(1.0, depth_m / 2.0)


@dataclass(frozen=True)
class TrackerConfig(Checked, section="tracker"):
    """Frame-to-map tracking and the state machine."""

    refine: bool = param(True, "refine with image tracks against local keyframes")
    track_points: int = param(300, "image points followed by the refinement", "", 30, 3000)
    window: int = param(
        6, "keyframes around a new one that are adjusted together; 0 = none", "", 0, 30)
    motion_prior: bool = param(
        True, "search where odometry or constant velocity predict the camera; false = where it "
        "was last")
    min_tracks: int = param(
        25, "fewer refined inliers and the refinement is not used", "", 6, 1000)
    surfaces: bool = param(
        True, "where texture is missing, follow the surfaces of the nearest keyframe instead")
    frame_budget_ms: float = param(
        30.0, "time per frame a live tracker keeps to by relocalizing only some frames and, if "
        "that is not enough, refining against one keyframe instead of two; 0 = do all on every "
        "frame", "ms", 0.0, 10000.0)
    frame_deadline_ms: float = param(
        50.0, "time from a frame's arrival by which a live tracker ends its work on it, when "
        "tracking is sure; what does not fit waits for later frames", "ms", 1.0, 10000.0)
    lost_after_s: float = param(
        0.15, "time without any accepted pose until the state is LOST, which the next frame "
        "declares: at 20 Hz and more within 0.2 s", "s", 0.0, 10.0)
    lost_probability: float = param(
        0.8, "a lost camera that no image of the place holds takes no pose that another place "
        "makes less likely than this, unless an initial pose tells", "", 0.0, 1.0)
    submap_after_s: float = param(
        3.0, "how long a lost camera must have looked at a place with texture and depth that the "
        "map does not know, without a break, until it goes on there in a new submap, "
        "which is joined to the rest when a known place is seen; mapping only; 0 = never, wait "
        "for a known place", "s", 0.0, 3600.0)
    override_m: float = param(
        0.15, "a confident scene-coordinate pose this far from the refined one overrides it", "m",
        0.01, 10.0)
    override_ratio: float = param(
        0.5, "inlier ratio that makes a scene-coordinate pose confident", "", 0.05, 1.0)

    def deadline_s(self, arrival_s: float) -> float:
        """Return by when the work on a frame is to end that arrived at a time; infinite = never.

        Both are times of `time.monotonic()`.
        """
        if self.frame_budget_ms == 0.0:
            return math.inf
        return arrival_s + 1e-3 * self.frame_deadline_ms


@dataclass(frozen=True)
class KeyframeConfig(Checked, section="keyframe"):
    """When a frame becomes a keyframe."""

    translation_m: float = param(
        0.10, "distance to the nearest keyframe, at 1 m median scene depth", "m", 0.01, 5.0)
    rotation_deg: float = param(8.0, "rotation to the nearest keyframe", "deg", 0.5, 90.0)
    max_count: int = param(400, "keyframes kept by the mapper", "", 10, 5000)


@dataclass(frozen=True)
class MapperConfig(Checked, section="mapper"):
    """The asynchronous mapper."""

    budget_ms: float = param(
        50.0, "work per cycle before weights are published", "ms", 1.0, 5000.0)
    pose_graph: bool = param(
        True, "correct keyframe poses with verified loops; needs gtsam, without it nothing is "
        "corrected")
    window_newest: int = param(
        5, "newest keyframes of a window, for which loops are looked for first (W_L)", "", 1, 100)
    window_sampled: int = param(5, "other keyframes of a window (W_G)", "", 0, 100)
    window_error_weight: float = param(
        0.1, "alpha in the weight 1/|P| + alpha (1 - lambda) of these, lambda being the share of "
        "a keyframe's features that the head explained", "", 0.0, 100.0)
    autosave_s: float = param(
        5.0, "session state is written this often for restart after a crash; 0 = never", "s",
        0.0, 3600.0)


@dataclass(frozen=True)
class RelocalizerConfig(Checked, section="relocalizer"):
    """The relocalization service."""

    hypotheses: int = param(512, "as solver.hypotheses, per query", "", 8, 8192)
    min_confidence_rgb: float = param(
        0.06, "what solver.min_confidence is for all else, for queries without depth; only higher "
        "values than that one count", "", 0.01, 1.0)
    min_probability: float = param(
        0.5, "a pose less likely than this is refused, as AMBIGUOUS where another place explains "
        "the view too, unless the caller's prior allows it", "", 0.0, 1.0)
    min_probability_rgb: float = param(0.25, "the same, for queries without depth", "", 0.0, 1.0)
    pose_sigma_m: float = param(
        0.005, "what one frame cannot show of its pose (shutter, color and depth of different "
        "instants), added to its covariance", "m", 0.0, 1.0)
    pose_sigma_deg: float = param(0.3, "the same for the rotation", "deg", 0.0, 45.0)
    queue: int = param(16, "callers that may wait; more are answered BUSY", "", 1, 1000)


@dataclass(frozen=True)
class SlamConfig(Checked):
    """Every parameter of the core; `ros.config.NodeConfig` adds those of the nodes."""

    mode: str = param(
        "mapping", "mapping: extend the map; localization: find the camera in a saved map, which "
        "is never changed", choices=("mapping", "localization"))
    device: str = param("auto", "auto, cpu, cuda or cuda:N")
    seed: int = param(0, "seed of every random source", "", 0)
    sensor: SensorConfig = field(default_factory=SensorConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    solver: SolverConfig = field(default_factory=SolverConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    keyframe: KeyframeConfig = field(default_factory=KeyframeConfig)
    mapper: MapperConfig = field(default_factory=MapperConfig)
    relocalizer: RelocalizerConfig = field(default_factory=RelocalizerConfig)
    grid: GridConfig = field(default_factory=GridConfig)

    @property
    def localization_only(self) -> bool:
        """Whether the map is only used, never changed."""
        return self.mode == "localization"

    def with_values(self, values: dict[str, Any]) -> Self:
        """Return a copy with dotted keys (`tracker.refine`) replaced.

        Raises:
            ConfigError: keys are unknown (near matches are named) or values are refused: all of
                them are named.
        """
        known = flatten(self)
        result, refused = self, []
        for key, value in current_names(values).items():
            try:
                if key not in known:
                    raise ConfigError(f"unknown parameter '{key}'{_suggest(key, known)}")
                result = result._with(key, value)
            except ConfigError as error:
                refused.append(str(error))
        if refused:
            raise ConfigError("; ".join(refused))
        return result

    def _with(self, key: str, value: Any) -> Self:
        section, _, name = key.rpartition(".")
        if not section:
            return dataclasses.replace(self, **{name: value})
        part = dataclasses.replace(getattr(self, section), **{name: value})
        return dataclasses.replace(self, **{section: part})

    def with_overrides(self, assignments: list[str]) -> Self:
        """Return a copy with command-line assignments (`a.b=v`, v in yaml) applied."""
        values: dict[str, Any] = {}
        for text in assignments:
            key, equals, value = text.partition("=")
            if not equals:
                raise ConfigError(f"--set {text!r}: write it as name=value")
            try:
                values[key.strip()] = yaml.safe_load(value)
            except yaml.YAMLError as error:
                raise ConfigError(f"--set {text!r}: {error}") from error
        return self.with_values(values)


def is_for_nodes(name: str) -> bool:
    """Tell whether the core has no use for a parameter, by its dotted name."""
    return name.partition(".")[0] in NODE_SECTIONS


def current_names(values: dict[str, Any]) -> dict[str, Any]:
    """Return parameters under the names they have now; old names are logged."""
    for old in values.keys() & RENAMED:
        log.warning("parameter '%s' is called '%s' now", old, RENAMED[old])
    return {RENAMED.get(key, key): value for key, value in values.items()}


def _suggest(key: str, known: dict[str, Any]) -> str:
    import difflib

    if is_for_nodes(key) and not any(is_for_nodes(name) for name in known):
        return ": it is for the nodes, which `ace-slam up` and launch files start"
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean '{near[0]}'?" if near else "; `ace-slam dump-config` lists them all"
