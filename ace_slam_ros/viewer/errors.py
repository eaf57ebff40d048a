"""What the viewer complains of."""

from ..core.errors import AceSlamError


class ViewError(AceSlamError):
    """The view cannot be opened."""
