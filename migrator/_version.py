__version__ = "1.0.0"

# What pip calls this package. `migrator` is another project there.
DISTRIBUTION = "ait42-migrator"
