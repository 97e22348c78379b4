"""What the node offers to agents as tools: names, families, profiles and parameter schemas."""
