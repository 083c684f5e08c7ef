"""Finds the triangle that is nearest in each pixel of a picture: a depth buffer, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FLAT = 1e-9  # pixels squared: a triangle of less is seen from its edge


@njit(cache=True, nogil=True, error_model="numpy")
def nearest_triangles(
    corners: NDArray[np.float64], width: int, height: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest triangle of each pixel, and the pixel's share of each of its corners.

    Args:
        corners: (N, 3, 3) of each triangle: x, y in pixels and depth, counter-clockwise as seen in
            a picture whose y points up; the others face away and are left out.

    Returns:
        (H, W), -1 where there is none, and (H, W, 3).
    """
    triangle = np.full((height, width), -1)
    shares = np.zeros((height, width, 3))
    depths = np.full((height, width), np.inf)
    for n in range(len(corners)):
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners[n]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= -FLAT:
            continue
        left, right = max(np.floor(min(ax, bx, cx)), 0), min(np.ceil(max(ax, bx, cx)), width - 1)
        top, bottom = max(np.floor(min(ay, by, cy)), 0), min(np.ceil(max(ay, by, cy)), height - 1)
        for row in range(int(top), int(bottom) + 1):
            for column in range(int(left), int(right) + 1):
                x, y = column + 0.5, row + 0.5
                a = ((cx - bx) * (y - by) - (cy - by) * (x - bx)) / area
                b = ((ax - cx) * (y - cy) - (ay - cy) * (x - cx)) / area
                c = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                depth = a * az + b * bz + c * cz
                if a >= 0 and b >= 0 and c >= 0 and depth <= depths[row, column]:
                    depths[row, column], triangle[row, column] = depth, n
                    shares[row, column, 0] = a
                    shares[row, column, 1] = b
                    shares[row, column, 2] = c
    return triangle, shares
