"""The screen of `forebay top`: a gateway's pages, and what two of them in a row say."""
