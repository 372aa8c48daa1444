"""The model as the engine runs it: passes, the LM head, the device."""
