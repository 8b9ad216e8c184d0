"""What is found wrong with a saved tree's arrays on disk."""

import json
import shutil

import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore

from fpgan_jax.training.checkpoints import stored_trees


@pytest.fixture(scope="module", name="saved")
def _saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "tree"
    # Noise does not compress: the large array has a file of its own.
    large = np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)
    tree = {"large": large, "small": {"scale": np.ones(3), "step": np.int32(7)}, "nothing": {}}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder, tree)
    return folder


@pytest.fixture(name="tree")
def _tree(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "tree")


@pytest.mark.parametrize("is_quick", [True, False])
def test_a_whole_tree_is_whole(tree, is_quick):
    assert stored_trees.find_fault(str(tree), is_quick=is_quick) is None


@pytest.mark.parametrize("is_quick", [True, False])
def test_an_array_that_is_not_stored_is_named(tree, is_quick):
    path = tree / stored_trees.TREE_METADATA
    metadata = json.loads(path.read_text())
    leaf = metadata["tree_metadata"]["('small', 'scale')"]
    leaf["key_metadata"][1]["key"] = "bias"
    metadata["tree_metadata"] = {"('small', 'bias')": leaf} | metadata["tree_metadata"]
    path.write_text(json.dumps(metadata))
    assert stored_trees.find_fault(str(tree), is_quick=is_quick) == "small.bias: missing"


def test_values_are_looked_at_unless_it_must_be_quick(tree):
    path = max((path for path in tree.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert stored_trees.find_fault(str(tree), is_quick=True) is None
    fault = stored_trees.find_fault(str(tree), is_quick=False)
    assert 'Error reading "large/0.0"' in fault and len(fault) <= 300 and "\n" not in fault


def test_values_that_are_not_stored_are_not_taken_for_zeros(tree):
    store = tensorstore.KvStore.open(
        {"driver": "ocdbt", "base": {"driver": "file", "path": f"{tree}/"}}
    ).result()
    store.write("large/0.0", None).result()  # deletes it
    assert "large/0.0" in stored_trees.find_fault(str(tree), is_quick=False)


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"tree_metadata": {"x": 1}}', b"\xff"])
def test_a_tree_that_does_not_say_what_it_holds_is_faulty(tree, content):
    path = tree / stored_trees.TREE_METADATA
    path.unlink() if content is None else path.write_bytes(content)
    assert stored_trees.find_fault(str(tree), is_quick=True) == "_METADATA: cannot be read"


def test_an_error_is_one_short_line():
    text = "NOT_FOUND: no .zarray [tensorstore_spec='" + "x" * 3000 + "']\nmore"
    assert stored_trees.describe_error(ValueError(text)) == "NOT_FOUND: no .zarray"
    assert len(stored_trees.describe_error(ValueError("y" * 3000))) == 300
    assert stored_trees.describe_error(KeyError()) == "KeyError"
