"""What a difference of two rates is made of."""


def rate_parts(
    answered: float, right: float, answered_before: float, right_before: float
) -> tuple[float, float] | None:
    """Parts of a difference in accuracy: (by answering at all, by being right where answered); they add up to it.

    `answered` is the share of questions with an answer that could be read, `right` the share of all questions that are
    right; the others are those of the baseline. Each part is weighed with the mean of both sides (Kitagawa 1955, JASA
    50:1168), so that neither side is the one that counts. None where one side gave no answer at all: how often it would
    have been right is not known.
    """
    if not answered or not answered_before:
        return None
    ours, theirs = right / answered, right_before / answered_before
    by_answering = (answered - answered_before) * (ours + theirs) / 2
    by_being_right = (ours - theirs) * (answered + answered_before) / 2
    return by_answering, by_being_right
