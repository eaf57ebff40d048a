"""`ace-slam doctor`: what is wrong with this machine or the running system, and what mends it."""
