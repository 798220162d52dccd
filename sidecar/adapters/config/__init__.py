"""Files of opencode's set-up: reading, editing and storing them."""
