"""The mock against a Go twin: throughput, memory per parked request, and timer error."""
