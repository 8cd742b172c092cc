"""What the benchmarks share: fair timing, and something to time on."""
