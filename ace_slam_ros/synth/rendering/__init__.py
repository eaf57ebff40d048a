"""The renderer: meshes, light, textures, pictures."""
