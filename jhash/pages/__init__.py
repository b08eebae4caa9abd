"""The pages that people look at: self-contained HTML with its pictures inside."""
