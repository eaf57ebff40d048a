"""What the benchmarks share: runs, measurements, reports."""
