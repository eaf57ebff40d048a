"""Recorded folders: the layouts that data sets and people use, and what their files leave open."""
