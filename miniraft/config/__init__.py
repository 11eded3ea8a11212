"""From what an operator wrote to a `ServerConfig`: flags, environment, configuration file, checks."""
