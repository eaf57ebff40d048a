"""What can be done to a saved map without a robot: told, drawn, and exported."""
