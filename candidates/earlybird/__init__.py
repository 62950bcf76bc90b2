"""Earlybird: the in-memory search index of lately written tweets, inverted by author, in segments of time.

Rebuilt from what twitter/the-algorithm says of it (src/java/com/twitter/search/README.md, earlybird/, and the requests
that home-mixer and timelineranker send). `index` holds the segments and answers searches, `ingesters` feed it with
tweets and with engagements, `users` is the table of its authors, `context` is what a search knows about who searches,
`shared` gives sources the index of a view.
"""
