"""What role a subscriber plays and what is liked: planted, told by no table of the register, shown by where the phone is seen."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from crm_spark.province.world import Province

ROLE_OF = {
    "worker": "factory_worker", "clerk": "office_worker", "civil_servant": "civil_servant", "service": "shop_worker", "merchant": "shop_worker",
    "farmer": "farmer", "student": "student", "other": "at_home",
}  # fmt: skip
GENRES = {"pop": 0.6, "folk": 0.25, "symphonic": 0.15}
_RETIRES, _PARENTS = 62, (27, 50)
_PARENT_SHARE, _SPORT_SHARE, _CINEMA_SHARE, _SHOPPING_SHARE = 0.5, 0.22, 0.3, 0.35
_TASTE = 0.3  # from which on music is a preference


def roles(province: Province) -> dict[str, Column]:
    """`role` (one of ROLE_OF's), `is_parent` of a school child, and preferences; roles and preferences overlap."""
    dice = province.dice
    student = F.col("archetype") == "student"
    working = F.element_at(F.create_map(*[F.lit(x) for pair in ROLE_OF.items() for x in pair]), F.col("occupation"))
    return {
        "role": F.when((F.col("age") >= _RETIRES) & ~student, "at_home").otherwise(working),
        "is_parent": F.col("age").between(*_PARENTS) & ~student & dice.happens(_PARENT_SHARE, "parent", "household"),
        "likes_music": F.when(F.col("music_taste") > _TASTE, dice.pick(GENRES, "genre", "person")),
        "likes_sport": dice.happens(_SPORT_SHARE, "sport", "person"),
        "likes_cinema": dice.happens(_CINEMA_SHARE, "cinema", "person"),
        "likes_shopping": dice.happens(_SHOPPING_SHARE, "shopping", "person"),
        "goes_out_late": (F.col("type_night_share") > 0.25) | dice.happens(0.06, "late", "person"),
    }
