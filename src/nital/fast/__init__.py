"""Fast mode, the default: clusters of features, joined to classes."""
