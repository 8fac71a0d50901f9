"""What TVs learned: patterns and content, and the store that keeps them."""
