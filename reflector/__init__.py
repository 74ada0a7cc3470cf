"""Reflector: audio in; transcript, topics, summaries and notifications out."""
