"""Where the object is: `PoseSource` and what implements it. What sees needs the extra `tags`."""

from r2s_deploy.pose.source import ManualPose, ObjectPose, PoseSource

__all__ = ["ManualPose", "ObjectPose", "PoseSource"]
