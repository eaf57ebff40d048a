"""The rules about which map counts; and that tracker and mapper always end in one map by them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.ros.weights.announcement import Announcement
from ace_slam_ros.ros.weights.map_follower import MapFollower


def follower(current: str, *said: Announcement | None) -> tuple[MapFollower, list]:
    """Return a follower, and the list whose last entry is what the tracker announced."""
    announced = list(said) or [None]
    return MapFollower(current, lambda: announced[-1]), announced


def test_only_what_the_tracker_announced_begins_a_map():
    """One forged keyframe took the map: nothing was asked of a keyframe but a new name."""
    mine, announced = follower("a", Announcement("a", "a"))
    assert mine.accepts("a", False)
    for stranger in ("b", "", "a ", "A"):
        assert not mine.accepts(stranger, False) and not mine.accepts(stranger, True)
        assert mine.is_strange(stranger)
    assert mine.current == "a"
    announced.append(None)
    assert not mine.accepts("b", True), "nobody announced anything"
    announced.append(Announcement("", ""))
    assert not mine.accepts("", True)


def test_a_reset_of_the_tracker_is_followed():
    mine, announced = follower("a", Announcement("a"))
    announced.append(Announcement("b", "b", ("a",)))
    assert not mine.stays(True), "its first keyframe decides"
    assert mine.accepts("b", False) and (mine.current, mine.answered) == ("b", "b")
    announced.append(Announcement("d", "d", ("a", "b", "c")))  # twice, before the mapper looked
    assert mine.accepts("d", False) and not mine.is_strange("a")


def test_stragglers_after_loading_are_ignored():
    mine, announced = follower("tracker", Announcement("tracker", "tracker"))
    mine.move_to("loaded")
    assert not mine.accepts("tracker", False) and mine.accepts("loaded", False)
    assert not mine.is_strange("tracker") and mine.answered == "tracker"
    announced.append(Announcement("other", "other", ("tracker",)))
    assert not mine.accepts("other", False), "it did not know of the loaded map"
    assert mine.stays(True) and mine.answered == "other" and not mine.stays(True)


def test_the_map_just_left_can_be_loaded_at_once():
    """`reset`, then `load_map` of the same map: both sides waited for ever."""
    mine, announced = follower("a", Announcement("a", "a"))
    announced.append(Announcement("b", "b", ("a",)))
    mine.move_to("a")
    assert mine.answered == "b", "by this the tracker knows that it is called back"
    assert not mine.accepts("b", False) and mine.accepts("a", False)


def test_localization_never_follows_and_an_empty_mapper_always():
    mine, announced = follower("map", Announcement("map"))
    announced.append(Announcement("b", "b", ("map",)))
    assert mine.stays(False) and mine.answered == "b"
    fresh, announced = follower("fresh", Announcement("map", "", ()))
    assert not fresh.accepts("map", False) and fresh.accepts("map", True)


class World:
    """Tracker and mapper with what lies between them, one step at a time."""

    def __init__(self) -> None:
        self.count, self.tracker, self.begun = 0, "t0", ""
        self.known: tuple[str, ...] = ()
        self.announced: Announcement | None = None
        self.keyframes: list[str] = []
        self.start_mapper()
        self.weights: tuple[str, str] | None = None

    def say(self) -> None:
        before = self.announced or Announcement("")
        left = before.left
        if before.map_id not in ("", self.tracker):
            left = (*(n for n in left if n != before.map_id), before.map_id)[-16:]
        self.announced = Announcement(self.tracker, self.begun, left)

    def fresh(self) -> str:
        self.count += 1
        return f"m{self.count}"

    def start_mapper(self) -> None:
        self.follower, self.empty = MapFollower(self.fresh(), lambda: self.announced), True

    # What may happen ---------------------------------------------------------------------------

    def frame(self) -> None:
        self.look()
        if not self.begun and self.weights is None:
            self.begun = self.tracker
            self.say()
        self.keyframes.append(self.tracker)

    def look(self) -> None:
        if self.weights is None:
            return
        name, answers = self.weights
        if name != self.tracker and self.begun in ("", answers):
            self.tracker = name
            self.say()

    def reset(self) -> None:
        self.tracker = self.begun = self.fresh()
        self.say()

    def mapper_step(self) -> None:
        for name in self.keyframes:
            if self.follower.accepts(name, self.empty):
                self.empty = False
        self.keyframes.clear()
        if not self.empty:
            self.follower.stays(True)
            self.weights = self.follower.current, self.follower.answered

    def load(self) -> None:
        self.follower.move_to("saved")
        self.empty = False
        self.weights = "saved", self.follower.answered

    def lose_mapper(self) -> None:
        self.start_mapper()

    def lose_tracker(self) -> None:
        self.tracker, self.begun = self.fresh(), ""


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(
    ("frame", "look", "reset", "mapper_step", "load", "lose_mapper", "lose_tracker")),
    max_size=25))
def test_any_order_ends_in_one_map(steps):
    world = World()
    for step in steps:
        getattr(world, step)()
    for _ in range(6):
        world.frame()
        world.mapper_step()
    assert world.tracker == world.follower.current and not world.empty
    if "load" in steps and not {"reset", "lose_mapper"} & set(steps[steps.index("load"):]):
        assert world.tracker == "saved", "the last order counts"
