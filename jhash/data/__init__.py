"""Where items come from: tables in memory and on disk, the published files, the shipped samples."""
