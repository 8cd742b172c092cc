"""What a visitor gets and reads."""

from __future__ import annotations

import re

import cv2
import numpy as np
from flask.testing import FlaskClient
from numpy.typing import NDArray

HERE = {"Sec-Fetch-Site": "same-origin"}
"""Headers of a browser on the page itself."""


def shown(client: FlaskClient, path: str = "/projects/3") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.text


def text_of(page: str) -> str:
    """The page without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def decoded(jpeg: bytes) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) of a thumbnail."""
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)
