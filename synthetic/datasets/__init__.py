"""Importers: real data sets, read into the tables of `funnel.core.tables`, without a truth."""
