"""How like the real Twitter a world is: statistics beside published targets and beside real graphs.

`funnel.realism.targets` says what is measured, how, and what is known about it; `graph`, `activity` and `tail` measure;
`report` puts value, band and verdict together; `page` shows them as HTML and Markdown; `real` measures data sets.
"""
