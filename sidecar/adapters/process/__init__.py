"""Commands of the host: started without a shell, bounded, ended with everything they started."""
