"""Questions of no family of the hive: it should be unsure of them, and here is what to teach and to test that with.

Those for calibration and those for measuring come from different reasoning-gym tasks, so that measuring shows how the
hive meets a kind of question that nothing was fitted to.
"""

import warnings
from itertools import islice

from waggle.training.questions import Split

_TASKS = {
    Split.CALIBRATE: ("gcd", "products", "time_intervals", "base_conversion", "caesar_cipher", "prime_factorization"),
    Split.MEASURE: ("lcm", "family_relationships", "fraction_simplification", "number_sequence", "dice", "maze"),
}
_SAYINGS = {
    Split.CALIBRATE: (
        "What is the capital of France?",
        "Write a short poem about the sea.",
        "Who painted the ceiling of the chapel in Rome?",
        "Translate good morning into Spanish.",
        "Why is the sky blue?",
        "hello",
        "Explain how a bicycle stays upright.",
        "What is the boiling point of water at sea level?",
    ),
    Split.MEASURE: (
        "Which planet is closest to the sun?",
        "Who wrote the play about the prince of Denmark?",
        "How tall is the highest mountain on Earth?",
        "Tell me a joke about penguins.",
        "What should I cook tonight?",
        "Is a tomato a fruit?",
        "Name three rivers in Africa.",
        "asdf qwer zxcv",
    ),
}


def outside_questions(split: Split, seed: int, per_task: int) -> list[str]:
    """Sayings, then `per_task` questions of each task of that side, in a fixed order.

    Raises:
        KeyError: there are none to train on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import reasoning_gym

        sets = [reasoning_gym.create_dataset(task, size=per_task, seed=seed) for task in _TASKS[split]]
        return [*_SAYINGS[split], *(entry["question"] for dataset in sets for entry in islice(dataset, per_task))]
