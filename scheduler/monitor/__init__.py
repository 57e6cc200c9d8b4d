"""Looks at the service from outside, in a process of its own: metrics, probes, alerts, and the desk's summary before a lift."""
