"""The simulated people that the robot meets, and what they can be measured by."""
