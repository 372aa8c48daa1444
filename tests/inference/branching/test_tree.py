"""The record of branches: what it links, and what it drops."""

from concordance_inference.branching.branch import Branch
from concordance_inference.branching.tree import BranchTree


def add(tree, name, parent, *, position=1, added=(5,)):
    branch = Branch(
        parent=parent,
        named=parent,
        token_ids=(1,) * position,
        forced_by=(None,) * position,
        added=added,
        num_sampled=0,
    )
    tree.add(name, branch, model="m", path="/v1/completions", owner="")


def test_branches_of_branches_are_linked_both_ways():
    tree = BranchTree()
    add(tree, "b", "a", position=3)
    add(tree, "c", "b")
    add(tree, "d", "a")

    a, b = tree.find("a"), tree.find("b")
    assert [each.request_id for each in a.branches] == ["b", "d"]
    assert (b.parent, b.position, b.token_ids) == (a, 3, (5,))
    assert tree.find("c").parent is b
    assert (a.parent, a.position) == (None, None)
    assert tree.find("e") is None


def test_the_oldest_completion_is_dropped_and_its_branches_become_roots():
    for limits in ({"max_nodes": 3}, {"max_tokens": 2}):
        tree = BranchTree(**limits)
        for name, parent in ("ba", "cb", "dc"):
            add(tree, name, parent)

        assert tree.find("a") is None
        assert tree.find("c") or limits == {"max_tokens": 2}
        assert tree.find("d")
        assert len(tree) <= 3
        oldest = tree.find("d")
        while oldest.parent:
            oldest = oldest.parent
        assert oldest.request_id in "bc"


def test_a_branch_with_the_id_of_its_parent_makes_no_circle():
    tree = BranchTree()
    add(tree, "a", "a")
    add(tree, "a", "a")

    newest = tree.find("a")
    assert [newest.parent.request_id, newest.parent.parent.request_id] == ["a", "a"]
    assert newest.parent.parent.parent is None
    assert len(tree) == 3


def test_dropping_the_last_completion_leaves_nothing():
    tree = BranchTree(max_nodes=0)
    add(tree, "b", "a")

    assert not len(tree)
    assert tree.find("a") is None
