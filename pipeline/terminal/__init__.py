"""What a run says, and how it ends: progress, logs, metrics, summaries, exit codes."""
