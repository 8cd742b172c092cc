import pytest
import redis

from ml_backend.queue.clients import connect_redis
from ml_backend.settings import Settings


def test_an_unreachable_redis_is_reported_at_once(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"})
    with pytest.raises(redis.exceptions.ConnectionError):
        connect_redis(nowhere)
