"""Imperfect sensing and acting, as plugins of r2s."""
