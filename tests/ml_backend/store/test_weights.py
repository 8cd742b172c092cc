import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from ml_backend.store import weights
from ml_backend.store.weights import MANIFEST, WeightStore, WeightStoreError


@pytest.fixture
def version(tmp_path: Path) -> Path:
    directory = tmp_path / "version"
    (directory / "ir").mkdir(parents=True)
    (directory / "weights.safetensors").write_bytes(bytes(range(256)) * 1000)
    (directory / "card.json").write_text("{}")
    (directory / "ir" / "model.xml").write_text("<net/>")
    return directory


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file://{tmp_path}/the store" if request.param == "file" else f"memory://{tmp_path.name}"


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_stored_files_can_be_fetched_on_another_machine(url: str, tmp_path: Path, version: Path) -> None:
    key = WeightStore(url, tmp_path / "here").put(version)
    there = WeightStore(url, tmp_path / "there")
    assert contents(there.get(key)) == contents(version)
    assert there.get(key) == there.get(key)


def test_the_same_content_has_one_name_and_other_content_another(
    url: str, tmp_path: Path, version: Path
) -> None:
    store = WeightStore(url, tmp_path / "cache")
    key = store.put(version)
    assert store.put(version) == key
    (version / "card.json").write_text('{"other": 1}')
    assert store.put(version) != key


def test_the_cache_keeps_what_was_used_last(
    tmp_path: Path, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "CACHED_VERSIONS", 3)
    store, cache = WeightStore(f"file://{tmp_path}/store", tmp_path / "cache"), tmp_path / "cache"
    keys = []
    for number in range(4):
        (version / "card.json").write_text(str(number))
        keys.append(store.put(version))
        os.utime(store.get(keys[-1]), (number, number))
        store.get(keys[0])
    assert {folder.name for folder in cache.iterdir()} == {keys[0], keys[2], keys[3]}
    assert contents(store.get(keys[1]))["card.json"] == b"1"


def test_altered_files_are_refused(tmp_path: Path, version: Path) -> None:
    key = WeightStore(f"file://{tmp_path}/store", tmp_path / "here").put(version)
    (tmp_path / "store" / key / "card.json").write_text("other")
    with pytest.raises(WeightStoreError, match="altered"):
        WeightStore(f"file://{tmp_path}/store", tmp_path / "there").get(key)
    assert list((tmp_path / "there").iterdir()) == []


def test_an_interrupted_put_is_invisible_and_can_be_repeated(tmp_path: Path, version: Path) -> None:
    store = WeightStore(f"file://{tmp_path}/store", tmp_path / "cache")
    key = store.put(version)
    (tmp_path / "store" / key / MANIFEST).unlink()
    (tmp_path / "store" / key / "card.json").write_text("half")
    with pytest.raises(WeightStoreError, match="No weights"):
        store.get(key)
    assert store.put(version) == key
    assert contents(store.get(key)) == contents(version)


def test_a_manifest_cannot_write_outside_the_cache(tmp_path: Path) -> None:
    manifest = json.dumps({"../../escaped": hashlib.sha256(b"x").hexdigest()}).encode()
    key = hashlib.sha256(manifest).hexdigest()
    (tmp_path / "store" / key).mkdir(parents=True)
    (tmp_path / "store" / key / MANIFEST).write_bytes(manifest)
    (tmp_path / "escaped").write_text("x")
    with pytest.raises(WeightStoreError, match="leads out"):
        WeightStore(f"file://{tmp_path}/store", tmp_path / "cache").get(key)


@pytest.mark.parametrize("key", ["", "..", "../" * 22, "a" * 63, "A" * 64])
def test_only_hashes_are_keys(key: str, tmp_path: Path) -> None:
    store = WeightStore(f"file://{tmp_path}/store", tmp_path / "cache")
    for ask in (store.get, store.delete):
        with pytest.raises(WeightStoreError, match="64"):
            ask(key)


def test_deleted_weights_are_gone_from_store_and_cache(url: str, tmp_path: Path, version: Path) -> None:
    store = WeightStore(url, tmp_path / "cache")
    key = store.put(version)
    store.get(key)
    store.delete(key)
    store.delete(key)
    with pytest.raises(WeightStoreError, match="No weights"):
        store.get(key)
    filesystem, root = fsspec.url_to_fs(url)
    assert not filesystem.exists(f"{root}/{key}")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightStoreError, match="nothing"):
        WeightStore(f"file://{tmp_path}/store", tmp_path / "cache").put(tmp_path / "empty")


def test_missing_files_are_restored_from_a_cache(url: str, tmp_path: Path, version: Path) -> None:
    store, other = WeightStore(url, tmp_path / "here"), WeightStore(url, tmp_path / "there")
    key = store.put(version)
    assert not store.restore(key), "there is no copy here yet"
    store.get(key)
    other.delete(key)
    assert not store.contains(key)
    assert not other.can_give(key)
    assert store.can_give(key)
    assert not other.restore(key)
    assert store.restore(key)
    assert store.contains(key)
    assert contents(other.get(key)) == contents(version)


def test_a_store_that_lost_one_of_several_files_is_repaired(tmp_path: Path, version: Path) -> None:
    store = WeightStore(f"file://{tmp_path}/store", tmp_path / "cache")
    key = store.put(version)
    store.get(key)
    (tmp_path / "store" / key / "weights.safetensors").unlink()
    assert not store.contains(key)
    assert store.restore(key)
    assert store.contains(key)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def scribble(path: Path) -> None:
    path.write_bytes(b"\xff" + path.read_bytes()[1:])


@pytest.mark.parametrize("damage", [truncate, scribble, Path.unlink], ids=["truncated", "altered", "missing"])
@pytest.mark.parametrize("name", ["weights.safetensors", "card.json"])
def test_a_damaged_cache_is_dropped_and_fetched_again(
    url: str, tmp_path: Path, version: Path, damage: Callable[[Path], None], name: str
) -> None:
    store = WeightStore(url, tmp_path / "cache")
    key = store.put(version)
    damage(store.get(key) / name)
    assert contents(store.get(key)) == contents(version)
    assert [folder.name for folder in (tmp_path / "cache").iterdir()] == [key]


def test_what_an_engine_adds_to_a_cached_version_is_no_damage(tmp_path: Path, version: Path) -> None:
    store = WeightStore(f"file://{tmp_path}/store", tmp_path / "cache")
    key = store.put(version)
    (store.get(key) / "openvino.xml").write_text("<net/>")
    assert (store.get(key) / "openvino.xml").exists()
    scribble(store.get(key) / "weights.safetensors")
    assert not (store.get(key) / "openvino.xml").exists()


def test_a_damaged_store_is_noticed_and_repaired_from_a_whole_cache_only(
    tmp_path: Path, version: Path
) -> None:
    store = WeightStore(f"file://{tmp_path}/store", tmp_path / "cache")
    key = store.put(version)
    cached, stored = store.get(key), tmp_path / "store" / key
    truncate(stored / "weights.safetensors")
    assert store.contains(key)
    assert not store.is_whole(key)
    assert store.can_give(key), "from the cache"
    assert store.restore(key)
    assert store.is_whole(key)

    truncate(stored / "weights.safetensors")
    truncate(cached / "weights.safetensors")
    assert not store.restore(key)
    assert not store.can_give(key)
    assert not store.is_whole(key)
    with pytest.raises(WeightStoreError, match="altered"):
        store.get(key)
    assert store.put(version) == key, "the same content again"
    assert store.is_whole(key)


def test_what_interrupted_processes_left_is_swept_once_it_is_old(tmp_path: Path, version: Path) -> None:
    store = WeightStore(f"file://{tmp_path}/store", tmp_path / "cache")
    key = store.put(version)
    store.get(key)
    left = [tmp_path / "cache" / ".partial-ab", tmp_path / "store" / key / ".partial-cd"]
    left[0].mkdir()
    (left[0] / "weights.safetensors").write_bytes(b"half")
    left[1].write_bytes(b"half")
    assert store.sweep(3600) == 0
    for path in (left[0] / "weights.safetensors", *left):
        os.utime(path, (0, 0))
    assert store.sweep(3600) == 2
    assert not any(path.exists() for path in left)
    assert contents(store.get(key)) == contents(version)
    assert store.is_whole(key)
