"""Serves the model over HTTP. Imports `model`; nothing imports it."""
