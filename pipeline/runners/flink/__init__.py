"""Runs on a Flink cluster."""
