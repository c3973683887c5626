"""The pages of the console, a module each: the elements, and what fills them."""
