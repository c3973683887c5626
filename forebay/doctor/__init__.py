"""The findings of `forebay doctor`: programs and packages, a configuration, and the servers that it names."""
