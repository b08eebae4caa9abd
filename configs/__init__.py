"""The experiments packed with jhash: `--config <name>` finds them anywhere."""
