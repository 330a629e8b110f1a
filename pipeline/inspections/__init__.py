"""Facts of models and outputs, and how they are shown."""
