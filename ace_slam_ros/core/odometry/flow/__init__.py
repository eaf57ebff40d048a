"""Corners of images: found, and followed from one image into another."""
