"""Snapshots of an output listed, compared, verified and pruned."""
