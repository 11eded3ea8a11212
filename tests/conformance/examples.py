"""How many random examples are compared, and how they are chosen."""

import os

from hypothesis import HealthCheck, Phase, settings

_ASKED_FOR = int(os.environ.get("MINIRAFT_DIFFERENCE_EXAMPLES", "0"))


def examples(usual):
    """Returns settings for `usual` examples, always the same ones.

    With MINIRAFT_DIFFERENCE_EXAMPLES=N they are N and others each time, and one that fails is
    made as small as can be. That takes minutes, for which the usual run has no time.
    """
    return settings(
        max_examples=_ASKED_FOR or usual,
        derandomize=not _ASKED_FOR,
        phases=[Phase.generate, Phase.shrink] if _ASKED_FOR else [Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
