import errno
import resource

import pytest

from rufous.data.journal import Journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "journal.jsonl"


def keep(journal: Journal, name: str, **results) -> None:
    journal.keep(name, size=len(name), content_id=f"id of {name}", results=results or {f"of {name}": [{}]})


def test_what_is_kept_is_known_at_once_and_later(path):
    journal = Journal(path)
    keep(journal, "a", x=[{"scores": {"flow": 0.1}}])
    keep(journal, "b")
    keep(journal, "a", y=[{}, {"start_s": 1.5}])
    for each in (journal, Journal(path)):
        assert each.known("a") == {"x": [{"scores": {"flow": 0.1}}], "y": [{}, {"start_s": 1.5}]}
        assert each.known("id of b") == each.known("b") == {"of b": [{}]}
        assert each.known("c", "") == {}
    journal.close()


def test_a_line_that_was_cut_off_costs_itself_alone(path):
    journal = Journal(path)
    for name in ("a", "b"):
        keep(journal, name)
    journal.close()
    path.write_bytes(path.read_bytes()[:-9])
    journal = Journal(path)
    assert journal.known("a")
    assert not journal.known("b")
    keep(journal, "c")
    journal.close()
    again = Journal(path)
    assert again.known("a")
    assert again.known("c")
    assert not again.known("b")


def test_other_lines_are_passed_over(path):
    path.parent.mkdir()
    path.write_bytes(b'[1]\n{"file": "a"}\n\xff\xfe\n"text"\n\n')
    assert Journal(path).known("a") == {}


def test_a_file_of_the_same_size_may_be_one_that_an_earlier_run_looked_at(path):
    journal = Journal(path)
    keep(journal, "four")
    assert not journal.may_know("other", 4)  # of this very run: its files are not read twice for that
    journal.close()
    journal = Journal(path)
    assert journal.may_know("other", 4)
    assert not journal.may_know("four", 4)
    assert not journal.may_know("other", 5)
    assert not journal.may_know("other", -1)


def test_a_full_disk_is_told_and_what_was_kept_stays(path, monkeypatch):
    journal = Journal(path)
    keep(journal, "a")
    file = journal._file
    assert file is not None

    class Full:
        def __getattr__(self, name):
            return getattr(file, name)

        def write(self, data):
            file.write(data[:7])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal, "_file", Full())
    with pytest.raises(OSError, match="No space left"):
        keep(journal, "b")
    monkeypatch.undo()
    journal.close()
    journal = Journal(path)
    keep(journal, "c")
    assert journal.known("a")
    assert not journal.known("b")
    assert Journal(path).known("c")
    journal.close()


def test_a_write_that_was_short_leaves_no_half_entry(path):
    """Linux writes what fits below the limit and says so; an error comes with the next write only."""
    journal = Journal(path)
    keep(journal, "a")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            keep(journal, "b")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    keep(journal, "c")
    journal.close()
    again = Journal(path)
    assert again.known("a")
    assert again.known("c")
    assert path.read_bytes().count(b"\n") == 2
