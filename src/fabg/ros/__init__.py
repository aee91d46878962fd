"""The bridge to ROS 2: node base class, parameters, messages, images, transforms, bring-up."""
