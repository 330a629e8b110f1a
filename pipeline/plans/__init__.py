"""What a run would take, from a sample of its input and some seconds of encoding."""
