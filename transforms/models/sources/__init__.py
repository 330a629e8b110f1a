"""Where a model comes from: handles of hubs and stores, archives, the cache, the same on workers.

Start with `handles.py`.
"""
