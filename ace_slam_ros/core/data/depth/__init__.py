"""Depth images: what a pixel or a cell measures, and sparse ones made dense."""
