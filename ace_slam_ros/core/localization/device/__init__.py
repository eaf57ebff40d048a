"""Localization whole on a GPU: what the other modules of localization do, as one CUDA graph.

Every function here takes and returns tensors of fixed shapes, asks no tensor for a number and
copies nothing to the CPU, so that a graph can record it; what is missing is masked. On tensors of
the CPU the same functions are their own twin.
"""
