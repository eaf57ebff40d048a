"""Package metadata for pip; a robot builds the same tree with colcon through CMakeLists.txt."""

from setuptools import setup

setup()
