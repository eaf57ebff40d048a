"""Depth of another camera than the color camera: found out, and moved to the color image."""

from .rule import ALIGN, Registration, View, frames_apart, registration_of

__all__ = ["ALIGN", "Registration", "View", "frames_apart", "registration_of"]
