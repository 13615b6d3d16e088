"""A farm: boards that several users share through TVM's tracker and proxy."""
