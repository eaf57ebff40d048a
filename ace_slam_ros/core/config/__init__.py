"""Every parameter of the core, one frozen and checked dataclass per stage."""
