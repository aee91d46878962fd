#!/usr/bin/env bash
# Build the packages the way a ROS 2 workspace does, with the wheels in .venv in place of a distribution, and
# check what came out. With a distribution sourced this is simply: colcon build --base-paths . interfaces
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE PYTHONPATH

venv="$PWD/.venv"
workspace="$PWD/.cache/colcon"
rm -rf "$workspace"
mkdir -p "$workspace"
export PATH="$venv/bin:$PATH" AMENT_PREFIX_PATH="$venv" CMAKE_PREFIX_PATH="$venv" COLCON_LOG_PATH="$workspace/log"

colcon build --base-paths . interfaces --build-base "$workspace/build" --install-base "$workspace/install" \
  --event-handlers console_cohesion+ --cmake-args -DBUILD_TESTING=OFF \
  "-DCMAKE_PROJECT_INCLUDE=$PWD/interfaces/_wheel/environment.cmake"

echo "== the installation"
fail() { echo "colcon: $1" >&2; exit 1; }
install="$workspace/install"
for path in config/robot.yaml config/fastdds.xml package.xml; do
  [ -f "$install/fabg/share/fabg/$path" ] || fail "share/fabg/$path was not installed"
done
for source in launch/*.py config/* urdf/*; do
  [ -e "$install/fabg/share/fabg/$source" ] || fail "share/fabg/$source was not installed"
done
[ -x "$install/fabg/lib/fabg/fabg" ] || fail "lib/fabg/fabg was not installed"
[ -f "$install/fabg_msgs/share/fabg_msgs/msg/ExpressionChunk.json" ] || fail "fabg_msgs was not built"
# .venv has hri_msgs already, as a distribution would: ours has to step aside.
[ ! -e "$install/hri_msgs/share/hri_msgs/msg" ] || fail "hri_msgs was built over the one that is installed"
[ ! -e "$install/tf2_msgs" ] || fail "tf2_msgs was built although every distribution has it"

cd "$workspace"
set +u
# shellcheck disable=SC1091
. install/setup.bash
set -u
"$venv/bin/python" - "$install" <<'PYTHON'
import sys
from pathlib import Path

import fabg
import fabg_msgs.msg
from fabg.paths import share_dir
from fabg.robot.model import load_robot
from fabg.ros.bringup import GRAPH

install = Path(sys.argv[1])
for module in (fabg, fabg_msgs.msg):
    assert Path(module.__file__).is_relative_to(install), f"{module.__name__} comes from {module.__file__}"
assert share_dir().is_relative_to(install), f"the data files come from {share_dir()}"
assert len(load_robot().joints) == 25
for spec in GRAPH:
    executable = install / "fabg" / "lib" / "fabg" / spec.executable
    assert executable.is_file(), f"{executable} was not installed: the launch file starts it"
message = fabg_msgs.msg.ExpressionVector()
assert len(message.values) == 61
print(f"fabg and fabg_msgs work from {install}")
PYTHON
install/fabg/lib/fabg/fabg --help > /dev/null
echo "colcon: the installation works"
