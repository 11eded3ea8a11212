"""`miniraft cluster`: a cluster of real processes on this machine, to watch and to break."""
