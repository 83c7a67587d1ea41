"""MCAP files as robots record them: ROS 2's CDR, or JSON."""

import io
import json

from mcap.writer import CompressionType
from mcap.writer import Writer as PlainWriter
from mcap_ros2.writer import Writer

_SEPARATOR = "=" * 80
_PARTS = {
    "std_msgs/Header": "builtin_interfaces/Time stamp\nstring frame_id",
    "builtin_interfaces/Time": "int32 sec\nuint32 nanosec",
    "builtin_interfaces/Duration": "int32 sec\nuint32 nanosec",
    "geometry_msgs/Point": "float64 x\nfloat64 y\nfloat64 z",
    "geometry_msgs/Quaternion": "float64 x 0\nfloat64 y 0\nfloat64 z 0\nfloat64 w 1",
    "geometry_msgs/Pose": "geometry_msgs/Point position\ngeometry_msgs/Quaternion orientation",
    "trajectory_msgs/JointTrajectoryPoint": "float64[] positions\nfloat64[] velocities\n"
    "float64[] accelerations\nfloat64[] effort\nbuiltin_interfaces/Duration time_from_start",
}
_TYPES = {
    "sensor_msgs/msg/JointState": "std_msgs/Header header\nstring[] name\nfloat64[] position\n"
    "float64[] velocity\nfloat64[] effort",
    "geometry_msgs/msg/PoseStamped": "std_msgs/Header header\ngeometry_msgs/Pose pose",
    "geometry_msgs/msg/PointStamped": "std_msgs/Header header\ngeometry_msgs/Point point",
    "trajectory_msgs/msg/JointTrajectory": "std_msgs/Header header\nstring[] joint_names\n"
    "trajectory_msgs/JointTrajectoryPoint[] points",
    "std_msgs/msg/Float64MultiArray": "float64[] data",
}
#: When recordings begin, s since 1970.
EPOCH = 1_760_000_000.0


def _definition(kind):
    parts = [f"{_SEPARATOR}\nMSG: {name}\n{text}" for name, text in _PARTS.items()]
    return "\n".join([_TYPES[kind], *parts])


def _nano(seconds):
    return round(1e9 * (EPOCH + seconds))


def header(seconds, frame="fr3_link0"):
    """The header of a message that was made so many seconds after the beginning."""
    sec, nanosec = divmod(_nano(seconds), 10**9)
    return {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": frame}


def joint_state(seconds, names, position, velocity=()):
    state = {"name": list(names), "position": list(map(float, position))}
    state |= {"velocity": list(map(float, velocity)), "effort": []}
    return "sensor_msgs/msg/JointState", {"header": header(seconds, ""), **state}


def pose(seconds, values, frame="fr3_link0"):
    """Of x, y, z and a quaternion w, x, y, z."""
    x, y, z, qw, qx, qy, qz = map(float, values)
    held = {"position": {"x": x, "y": y, "z": z}}
    held["orientation"] = {"x": qx, "y": qy, "z": qz, "w": qw}
    return "geometry_msgs/msg/PoseStamped", {"header": header(seconds, frame), "pose": held}


def point(seconds, values, frame="fr3_link0"):
    x, y, z = map(float, values)
    where = {"header": header(seconds, frame), "point": {"x": x, "y": y, "z": z}}
    return "geometry_msgs/msg/PointStamped", where


def cdr(messages, compression="zstd", chunk_size=4096):
    """The bytes of a file with messages (seconds, topic, (type, fields))."""
    file = io.BytesIO()
    writer = Writer(file, chunk_size=chunk_size, compression=CompressionType[compression.upper()])
    schemas = {}
    for seconds, topic, (kind, fields) in messages:
        if kind not in schemas:
            schemas[kind] = writer.register_msgdef(kind, _definition(kind))
        writer.write_message(topic, schemas[kind], fields, log_time=_nano(seconds))
    writer.finish()
    return file.getvalue()


def as_json(messages, encoding="json", **options):
    """The same in JSON. options: of mcap's writer."""
    file = io.BytesIO()
    writer = PlainWriter(file, **options)
    writer.start()
    channels = {}
    for seconds, topic, (kind, fields) in messages:
        if topic not in channels:
            schema = writer.register_schema(kind, "jsonschema", b"{}")
            channels[topic] = writer.register_channel(topic, encoding, schema)
        at = _nano(seconds)
        writer.add_message(channels[topic], at, json.dumps(fields).encode(), at)
    writer.finish()
    return file.getvalue()
