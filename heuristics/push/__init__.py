"""Quality control of recommended notifications: filters that decide whether one is sent at all, and of what."""
