"""Loads LLM usage logs, one typed row per request, into the warehouse of a dbt profile, and builds the marts there."""

__version__ = "0.2.0"
