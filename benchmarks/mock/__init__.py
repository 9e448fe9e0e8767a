"""The mock against a Go twin: throughput, memory a parked request, and timer error."""
