// With an assembly file in the package, limits.go may declare functions that are linked from elsewhere.
