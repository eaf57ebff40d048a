"""Where things lie in the checkout."""

from pathlib import Path

#: The checkout.
ROOT = Path(__file__).resolve().parents[2]
#: The folder of the tests, from which `helpers` is imported.
TEST = ROOT / "test"
#: Recorded sequences and weights of others, where they are at hand.
SHARED = ROOT.parent / "shared"
