"""What every learned stage shares: training loop, schedules, calibration, measures of quality."""
