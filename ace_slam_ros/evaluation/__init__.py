"""Trajectories against ground truth: errors, summaries, tables, plots."""
