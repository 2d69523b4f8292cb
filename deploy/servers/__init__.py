"""The real servers on this machine, as plain processes: for `make cluster`, the tests and the benches."""
