"""The parts of a difference between two rates."""


def rate_parts(
    answered: float, right: float, answered_before: float, right_before: float
) -> tuple[float, float] | None:
    """Parts of a difference in accuracy, which add up to it: (from answering at all, from being right when answered).

    `answered` is the share of questions with a readable answer, `right` the share of all questions answered correctly;
    the others are those of the baseline. Each part is weighted with the mean of both sides (Kitagawa 1955, JASA
    50:1168), so that neither side is favored. None if one side gave no answers at all: how often it would have been
    right is unknown.
    """
    if not answered or not answered_before:
        return None
    ours, theirs = right / answered, right_before / answered_before
    by_answering = (answered - answered_before) * (ours + theirs) / 2
    by_being_right = (ours - theirs) * (answered + answered_before) / 2
    return by_answering, by_being_right
