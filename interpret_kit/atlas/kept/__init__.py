"""What an atlas keeps for the next one."""
