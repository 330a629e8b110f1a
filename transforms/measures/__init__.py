"""What a run counts and how long its stages take, in Beam's terms.

Start with `counters.py`.
"""
