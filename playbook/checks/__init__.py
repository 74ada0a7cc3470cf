"""What each phase proves, live: one module per phase, with the probes that run inside the application."""
