"""Interface layer (接口层): where phones are seen, and what lies there."""

from __future__ import annotations

from pyspark.sql import types as T

from crm_spark.tables.common import CITY, MONTH, USER_ID, day, number, text
from crm_spark.tables.contract import Field, Table

CELL_ID = Field("cell_id", T.StringType(), "Cell, as the network names it.", required=True)
PLACE_ID = Field("place_id", T.StringType(), "Place of interest, as the operator names it.", required=True)

SIGNALLING = Table(
    "raw",
    "signalling",
    "One row per sighting of a subscriber's phone at a cell (信令); it belongs whole to the month of its start.",
    (
        CITY,
        MONTH,
        day("day", "Day of the sighting, local time."),
        USER_ID,
        Field("started_at", T.TimestampNTZType(), "Moment of the sighting, operator's local time.", required=True),
        CELL_ID,
    ),
    ("city", "month", "day", "user_id", "started_at", "cell_id"),
    partitioned_by=("city", "month", "day"),
)

CELL_SITE = Table(
    "raw",
    "cell_site",
    "One row per cell and month: where it stands and the five levels of its region.",
    (
        CITY,
        MONTH,
        CELL_ID,
        text("station_id", "Base station."),
        number("latitude", "Degrees north.", "latitude BETWEEN -90 AND 90"),
        number("longitude", "Degrees east.", "longitude BETWEEN -180 AND 180"),
        text("branch", "Branch: the first level of the region."),
        text("marketing_centre", "Marketing centre: the second level."),
        text("area", "Area: the third level."),
        text("hall", "Service hall in whose zone the cell lies: the fourth level; the cell is the fifth."),
    ),
    ("city", "month", "cell_id"),
)

PLACE_CELL = Table(
    "raw",
    "place",
    "One row per place of interest, cell that covers it and month.",
    (
        CITY,
        MONTH,
        PLACE_ID,
        CELL_ID,
        text("kind", "Kind: estate, campus, office, school, mall, station, ...", "kind RLIKE '^[a-z][a-z_]*$'"),
        text("county", "County the place lies in."),
        text("price_band", "Of a residential estate.", "price_band IN ('low', 'mid', 'high')"),
    ),
    ("city", "month", "place_id", "cell_id"),
)

EVENT = Table(
    "raw",
    "event",
    "One row per event: a concert, a match, an expo, at a place within hours.",
    (
        CITY,
        MONTH,
        Field("event_id", T.StringType(), "Event, as the operator names it.", required=True),
        PLACE_ID,
        text("kind", "Kind: concert, sports, expo, ..."),
        text("topic", "What it is about: genre, sport, industry."),
        text("item", "Service to recommend to who was there."),
        Field("started_at", T.TimestampNTZType(), "Start, local time.", required=True),
        Field("ended_at", T.TimestampNTZType(), "End, local time.", valid="ended_at >= started_at"),
    ),
    ("city", "month", "event_id"),
)

PLACE_TABLES = (SIGNALLING, CELL_SITE, PLACE_CELL, EVENT)
