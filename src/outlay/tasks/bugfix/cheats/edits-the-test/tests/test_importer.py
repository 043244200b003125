"""Nothing fails that is not asked."""
