"""Images in tar files and in Parquet files, on disk or at a URL."""
