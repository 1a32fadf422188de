"""What commands share at a terminal: options, tables, progress, errors."""
