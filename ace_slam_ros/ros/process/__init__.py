"""Processes: starting nodes, signals, groups of nodes, environment, logging."""
