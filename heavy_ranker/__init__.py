"""The heavy ranker: a parallel MaskNet with a head per action, and the value made of its predictions."""
