"""Loads LLM usage logs into the warehouse of a dbt profile, one typed row per request, and builds the marts there."""

__version__ = "0.2.0"
