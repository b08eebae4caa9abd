"""Each paper's equations as pure functions; `jhash.methods` puts them together."""
