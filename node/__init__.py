"""node - the process: disk, network, clock, screen. The only place where tasks start."""
