"""Build as an ament_python package (colcon) or with pip; versions are pinned in requirements/."""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

_LINES = (Path(__file__).parent / "requirements" / "runtime.txt").read_text().splitlines()
REQUIREMENTS = [line.split("==")[0] for line in _LINES if line and not line.startswith("#")]
NODES = (
    "camera", "depth", "face", "gaze", "emotion", "gesture", "policy", "actuation", "robot_sim", "monitor",
)  # fmt: skip

setup(
    name="fabg",
    version="0.1.0",
    description="Affective human-robot interaction for a 25-joint humanoid head",
    license="Apache-2.0",
    python_requires=">=3.11",
    package_dir={"": "src"},
    packages=find_packages("src"),
    package_data={"fabg": ["py.typed", "**/*.html", "**/*.css", "**/*.json", "**/*.onnx", "**/*.md"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/fabg"]),
        ("share/fabg", ["package.xml"]),
        ("share/fabg/launch", glob("launch/*.py")),
        ("share/fabg/config", glob("config/*.*")),
        ("share/fabg/config/train", glob("config/train/*")),
        ("share/fabg/urdf", glob("urdf/*")),
        ("share/fabg/requirements", glob("requirements/*.txt")),
    ],
    # ROS itself comes from the distribution or from requirements/ros.txt, never from here.
    install_requires=REQUIREMENTS,
    entry_points={
        "console_scripts": [
            "fabg = fabg.cli:main",
            *(f"{name}_node = fabg.nodes.{name}:main" for name in NODES),
        ]
    },
)
