"""Other people's formats, each with a certificate of parity."""
