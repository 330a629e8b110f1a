"""Flink: the preset `--runner=flink`, and a cluster on one machine to try it on."""
