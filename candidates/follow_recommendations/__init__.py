"""Accounts that a viewer might follow: several sources of accounts, and what mixes them.

    walks      weights carried over the edges of a graph, request by request
    sources    the sources of accounts, each (request, account, score)
    ranker     the weighted ranker that mixes the sources into one list

`candidates.frs` gives the tweets of these accounts. twitter/the-algorithm, follow-recommendations-service/.
"""
