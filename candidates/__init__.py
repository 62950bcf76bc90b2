"""Where candidates come from: a file is a source; sub-packages are the batch jobs that sources stand on."""
