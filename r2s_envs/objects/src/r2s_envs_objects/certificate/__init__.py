"""An object is tested, and a certificate reports the results."""
