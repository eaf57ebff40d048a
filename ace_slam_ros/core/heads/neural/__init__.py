"""Heads that are networks, trained by replay: TriMLP (ACE-SLAM) and HomMLP (ACE)."""
