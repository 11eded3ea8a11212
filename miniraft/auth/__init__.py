"""Users, roles and permissions, pure."""
