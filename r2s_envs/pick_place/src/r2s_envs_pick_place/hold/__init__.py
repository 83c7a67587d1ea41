"""Whether this gripper can hold an object: grasp, lift, shake and hold."""
