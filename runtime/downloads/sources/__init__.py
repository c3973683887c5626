"""One module for each kind of source: which files a URI names, and where their bytes are."""
