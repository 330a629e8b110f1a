"""What another model, or another batch, changes in vectors."""
