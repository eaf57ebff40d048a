"""Lets tools older than pyproject.toml find the project; a robot uses CMakeLists.txt instead."""

from setuptools import setup

setup()
