"""What is copied into the application's worker package."""
