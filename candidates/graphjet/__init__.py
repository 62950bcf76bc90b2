"""GraphJet: a real-time bipartite graph of users and tweets, and what recommends from it.

    store      the graph in segments of time: take edges in, read any moment
    edges      types of edges and their codes
    reading    how compiled loops read a store
    pages      arrays on huge pages, for what is read at random
    world      the store of a world's public engagements, one for all views: `world_store(view)`
    seeds      whom a viewer follows, weighted by RealGraph
    counting   TopSecondDegreeByCount, on which `candidates.uteg` stands
    salsa      random walks and the subgraph version, on which `candidates.salsa` stands
    related    related tweets of tweets, producers and consumers; intersections; random neighbours

A source of your own asks like this, with R requests:

    reading = world_store(requests.view).read(requests.now_h, window_h=48.0)
    window = tweet_window(requests.view, requests.now_h, 48.0)
    found = related.consumers_based(reading, (offsets, users), window)   # found.query is the request of each row
"""
