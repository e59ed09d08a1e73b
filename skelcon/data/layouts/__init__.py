"""Skeleton layouts: the joints of a body, its bones, and the points that alignment uses.

A layout is a YAML file: those beside this module are built in, a user's are read by
:func:`layout_from` or registered by :func:`skelcon.register_layout`.
"""

from skelcon.data.layouts.layout import (
    Dimensions,
    Point,
    SkeletonLayout,
    Unit,
    UpAxis,
    joints_of,
    mean_of,
    point_of,
)
from skelcon.data.layouts.mapping import axes_turned, common_layout, joint_mapping
from skelcon.data.layouts.registered import (
    KINECT_V1,
    KINECT_V1_SDK,
    KINECT_V2,
    LAYOUTS,
    layout_from,
)
from skelcon.data.layouts.yaml_text import plain, to_yaml

__all__ = [
    "KINECT_V1",
    "KINECT_V1_SDK",
    "KINECT_V2",
    "LAYOUTS",
    "Dimensions",
    "Point",
    "SkeletonLayout",
    "Unit",
    "UpAxis",
    "axes_turned",
    "common_layout",
    "joint_mapping",
    "joints_of",
    "layout_from",
    "mean_of",
    "plain",
    "point_of",
    "to_yaml",
]
