"""Each script stands alone and never changes once it was released: it must not follow what the package becomes."""
