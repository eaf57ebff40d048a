"""What a navigation stack needs of the map: the floor, virtual scans, the occupancy grid."""
