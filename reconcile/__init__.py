"""The engine: pure functions on frames. It reads no clock and no network, and imports nothing else of ours."""
