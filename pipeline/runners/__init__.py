"""Where a run goes: Flink, Dataflow, and what is on their workers."""
