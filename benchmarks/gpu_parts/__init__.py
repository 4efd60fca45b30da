"""What `benchmarks/gpu.py` measures. Each part imports what it needs itself: some of it may be missing."""
