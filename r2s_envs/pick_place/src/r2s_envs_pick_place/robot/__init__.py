"""The Panda: its model, how it looks, and its control laws."""
