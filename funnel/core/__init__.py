"""Contracts that every part keeps: batches, requests, stages, worlds, actions, errors."""
