"""The hooks that ship with r2s-core: metrics as CSV and for TensorBoard."""
