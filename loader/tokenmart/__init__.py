"""Tokenmart's loader: LLM usage logs in, one typed row a request out, in the warehouse that dbt's profile names."""

__version__ = "0.2.0"
