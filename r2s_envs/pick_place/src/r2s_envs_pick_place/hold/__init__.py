"""The hold test, whether a gripper can hold an object: grasp, lift, shake and hold."""
