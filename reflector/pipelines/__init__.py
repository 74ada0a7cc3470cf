"""What happens to a recording, step by step, as tasks."""
