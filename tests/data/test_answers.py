"""Answers and budgets in one file, from many threads."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from rufous.data.answers import Answer, AnswerFile, BudgetSpentError, Spent


@pytest.fixture
def answers(tmp_path):
    return AnswerFile(tmp_path / "new" / "answers.sqlite")


def test_an_answer_is_found_again(answers):
    assert answers.find("a") is None
    answers.keep("a", Answer("a cat", is_whole=False))
    answers.keep("b", Answer("a dog"))
    assert AnswerFile(answers.path).find("a") == Answer("a cat", is_whole=False)
    assert answers.find("b") == Answer("a dog")


def test_threads_together_take_no_more_than_the_budget(answers):
    def take(_):
        try:
            answers.take_request(max_requests=25, max_tokens=None)
        except BudgetSpentError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(take, range(60)))
    assert taken == 25
    assert answers.spent() == Spent(requests=25, tokens=0)


def test_tokens_end_a_budget_and_the_error_says_what_was_spent(answers):
    answers.take_request(max_requests=None, max_tokens=100)
    answers.add_tokens(130)
    with pytest.raises(BudgetSpentError, match=r"1 requests of None, 130 tokens of 100: raise"):
        answers.take_request(max_requests=None, max_tokens=100)
    answers.take_request(max_requests=None, max_tokens=200)
    assert answers.spent() == Spent(requests=2, tokens=130)


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no database at all, but long enough to be looked at " * 30)
    with pytest.raises(OSError, match=r"notes\.txt cannot be read or written"):
        AnswerFile(tmp_path / "notes.txt").find("a")
