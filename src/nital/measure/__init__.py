"""Measurement: regions, stereology over fields, the specimen."""
