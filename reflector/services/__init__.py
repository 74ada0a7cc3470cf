"""Clients and parsers of outside formats."""
