"""Compiles all loops for this machine, at set-up: `python -m ace_slam_ros.apps.warm_up`."""

from __future__ import annotations

from ..core.config.sections import SlamConfig
from ..core.encoders.loading import load_encoder
from ..core.navigation.obstacle_cloud import warm_up_obstacles
from ..core.runtime.device import choose_device, set_threads
from ..core.warm_up import warm_up
from ..io.warm_up import warm_up_inputs


def main() -> None:
    """Run everything once that is compiled."""
    set_threads(1)
    config = SlamConfig()
    warm_up(config, load_encoder(config.encoder, choose_device(config.device)), queries=True)
    warm_up_obstacles()
    warm_up_inputs()


if __name__ == "__main__":
    main()
