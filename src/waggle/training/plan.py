"""Who the hive's seven models are: size, architecture, seed, and the two or three families each is taught to work.

Sizes, families and seeds differ on purpose: a swarm of copies knows no more than one of them.
"""

from dataclasses import dataclass

from waggle.models.config import DecoderConfig

CONTEXT = 256  # tokens; the longest judging exercise of the families takes about 230


@dataclass(frozen=True)
class Recipe:
    """How one model is made. `families` gives each own family's share of the lessons."""

    name: str
    architecture: str
    hidden: int
    layers: int
    heads: int
    head_dim: int
    seed: int
    steps: int
    families: dict[str, float]

    def config(self, vocabulary: int) -> DecoderConfig:
        """The decoder's shape. One key/value head: at this size a second one costs time and buys nothing."""
        return DecoderConfig(
            family=self.architecture,
            vocabulary=vocabulary,
            hidden=self.hidden,
            intermediate=self.hidden * 8 // 3 // 16 * 16,
            layers=self.layers,
            heads=self.heads,
            kv_heads=1,
            head_dim=self.head_dim,
            context=CONTEXT,
            attention_bias=self.architecture == "qwen2",
            qk_norm=self.architecture == "qwen3",
        )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("clover", "qwen2", 128, 5, 2, 64, 1, 2200, {"spell_backward": 1, "count_bits": 1, "syllogisms": 3}),
        Recipe("heather", "qwen3", 144, 4, 2, 64, 2, 1600, {"letter_counting": 3, "weekdays": 2, "siblings": 1}),
        Recipe("linden", "qwen2", 128, 4, 2, 64, 3, 1600, {"chain_sum": 3, "equations": 2}),
        Recipe("thyme", "qwen3", 112, 5, 2, 64, 4, 1600, {"count_primes": 1, "spell_backward": 1, "weekdays": 2}),
        Recipe("borage", "llama", 160, 4, 2, 64, 5, 2400, {"letter_counting": 1, "chain_sum": 1}),
        Recipe("acacia", "qwen3", 96, 5, 2, 48, 6, 1600, {"count_bits": 1, "equations": 2, "siblings": 1}),
        Recipe("sage", "llama", 128, 5, 2, 64, 7, 1800, {"syllogisms": 2, "count_primes": 1}),
    )
}
