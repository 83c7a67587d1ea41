"""Objects as files: arrays, MuJoCo models, the cache; checked again when read."""
