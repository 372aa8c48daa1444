"""What an engine imports to run mods; mod authors need none of it."""
