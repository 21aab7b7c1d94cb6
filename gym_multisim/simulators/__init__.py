"""The simulators that come with the package, and the registry of all known ones."""
