"""Heads that are networks, trained by replay: TriMLP (ACE-SLAM) and HomMLP (ACE)."""

#: Types of head.
TRIMLP, HOMMLP = "trimlp", "hommlp"
