"""`ace-slam demo`: map a room live with three nodes, and check the result."""
