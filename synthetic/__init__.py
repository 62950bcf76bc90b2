"""Made worlds: people, follows, tweets, texts, the truth about behaviour, and a log of the past; importers of real data in `datasets`."""
