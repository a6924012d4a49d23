"""conf/province.yml is read strictly, and the job keeps what it has made."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from crm_spark.config.province import load_province
from crm_spark.config.sources import load_source
from crm_spark.errors import ConfigError, SourceError
from crm_spark.province.bundles import OFFERS
from crm_spark.province.deliveries import DELIVERIES
from crm_spark.province.files import NOTE, TRUTH, identity, is_made, make_room, truth_of
from crm_spark.province.world import Province, trouble_in
from jobs.make_province import main

CONF = Path(__file__).resolve().parents[1] / "conf"


def _changed(tmp_path: Path, old: str, new: str) -> Path:
    text = (CONF / "province.yml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "province.yml").write_text(text.replace(old, new, 1), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("complaints: 0.22", "complants: 0.22", "responses.leave.drivers: no driver 'complants' (did you mean 'complaints'?)"),
        ("peers_abroad: migrant", "peers_abroad: migrants", "peers_abroad: 'migrants' is not among peer_provinces (did you mean 'migrant'?)"),
        ("city: NINGBO", "city: NINGPO", "troubles[0].city: 'NINGPO' is not among cities (did you mean 'NINGBO'?)"),
        ("  tone_buy:", "  tone_by:", "responses.tone_buy: is missing"),
        ("bad_row_share: 0.001", "bad_row_share: 1.5", "bad_row_share: 1.5 is not a share (0 to 1)"),
        ("bad_row_share: 0.001", "skew_share: 0.7", "skew_share: 0.7 is not within 0 and 0.5"),
        ("  JINHUA:", "  JIAXING: {share: 1, halls: 1, counties: [Tongxiang], lat: 30.7, lon: 120.7}\n  JINHUA:", "cities: JIAXING and JINHUA begin alike"),
        ("community: 64", "community: 60", "network.community: 60 is not a power of two"),
        ("cdr_months: 2", "cdr_months: 16", "cdr_months: 16 is not within the months"),
        ("level_spread:", "level_spred:", "behaviour.level_spred: unknown key (did you mean 'level_spread'?)"),
    ],
)
def test_a_wrong_word_in_the_configuration_is_told_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_province(_changed(tmp_path, old, new))
    assert told in str(refused.value)


def test_there_are_23_ways_to_use_a_telephone() -> None:
    assert len(load_province(CONF).archetypes) == 23


def test_an_ordinary_month_has_about_thirty_calls() -> None:
    types = load_province(CONF).archetypes.values()
    calls = sum(a.weight * (sum(vars(a.out).values()) + sum(vars(a.incoming).values())) for a in types)
    assert 27 <= calls / sum(a.weight for a in types) <= 34


def test_trouble_halves_with_every_month_and_is_forgotten() -> None:
    troubles = load_province(CONF).troubles
    felt = [trouble_in("NINGBO", month, troubles) for month in ("2024-07", "2024-08", "2024-09", "2024-11", "2024-12")]
    assert felt == pytest.approx([0, 0.9, 0.45, 0.1125, 0])
    assert trouble_in("HANGZHOU", "2024-08", troubles) == 0


def test_the_source_maps_every_table_and_nothing_of_the_truth() -> None:
    source, province = load_source(CONF, "province"), load_province(CONF)
    folders = {f.path.removeprefix("{data}/").split("/")[0] for f in source.files.values()}
    assert folders == {d.name for d in DELIVERIES}
    assert {m.file for m in source.mappings} == set(source.files)
    assert (source.first_month, source.last_month) == (province.first_month, province.last_month)
    spans = {m.table: source.months_of(m) for m in source.mappings}
    assert spans["raw.voice_cdr"] == province.call_months
    assert spans["middle.voice_summary"] + province.call_months == province.months


def test_no_source_and_no_environment_reads_the_truth() -> None:
    texts = {p: p.read_text(encoding="utf-8") for folder in ("sources", "env") for p in (CONF / folder).rglob("*.yml")}
    assert texts and not [p for p, text in texts.items() if f"/{TRUTH}" in text or f"{TRUTH}/" in text]
    paths = [f.path for p in (CONF / "sources").glob("*/source.yml") for f in load_source(CONF, p.parent.name).files.values()]
    assert paths and all(path.startswith("{data}/") and ".." not in path for path in paths)  # below the raw files; the truth lies beside them
    assert not truth_of(Path("var/demo/raw")).is_relative_to(Path("var/demo/raw").absolute())


# What is planted was frozen before any model was tuned on it. A gate or a claim about a model is a claim about this very province:
# with other chances, types or noise every measured quality would have to be measured anew, and a change could be made to please a model.
# So a change of these parameters is a new generator: raise RECIPE in province/files.py, measure all models again, and say so in the changelog.
FROZEN = ("network", "behaviour", "cities", "plan", "signalling", "events", "seasons", "troubles", "peer_provinces", "archetypes", "responses", "treatments")
FROZEN_SHA256 = "fa1dc8b28824887e4ad9256f0f5e452445d04dcd8fe266cf622761e3f2d1edc1"


def test_what_is_planted_is_frozen() -> None:
    planted = {name: asdict(load_province(CONF))[name] for name in FROZEN}
    canonical = json.dumps(planted, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    assert hashlib.sha256(canonical.encode()).hexdigest() == FROZEN_SHA256


def test_the_encoding_of_every_file_is_the_one_it_is_written_in() -> None:
    files = {f.path.removeprefix("{data}/").split("/")[0]: f for f in load_source(CONF, "province").files.values()}
    assert {d.name: (d.format, d.encoding.lower()) for d in DELIVERIES} == {name: (f.format, f.encoding) for name, f in files.items()}


def test_bundles_refer_to_policies_that_exist() -> None:
    with (CONF / "policies.csv").open(encoding="utf-8") as sheet:
        assert set(OFFERS) <= {row["policy_id"] for row in csv.DictReader(sheet)}


def test_an_address_is_no_folder_to_make_a_province_in(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--size", "300", "--out", "s3://bucket/raw"])
    assert ended.value.code == 2 and "s3://bucket/raw is an address" in capsys.readouterr().err


def test_a_finished_province_is_kept_and_another_one_is_not_taken_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_province(CONF)
    made = Province(config, seed=7, size=300)
    (tmp_path / NOTE).write_text(json.dumps(identity(made)))
    assert is_made(made, tmp_path)
    assert not is_made(Province(config, seed=8, size=300), tmp_path)
    assert not is_made(Province(config, seed=7, size=301), tmp_path)
    assert not is_made(Province(config.between("2024-01", "2025-02"), seed=7, size=300), tmp_path)
    arguments = ["--size", "300", "--seed", "7", "--out", str(tmp_path), "--conf-dir", str(CONF)]
    assert main(arguments) == 0
    assert [p.name for p in tmp_path.iterdir()] == [NOTE]


def test_room_is_made_of_a_province_but_never_of_anything_else(tmp_path: Path) -> None:
    mine, out = tmp_path / "mine", tmp_path / "out"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(SourceError, match="no province"):
        make_room(mine)
    assert (mine / "thesis.txt").exists()
    make_room(out)  # as if stopped here, unfinished
    (out / "billing").mkdir()
    make_room(out)
    assert not (out / "billing").exists()
    truth = tmp_path / "truth"
    assert truth.is_dir()
    with pytest.raises(SourceError, match="no province"):
        make_room(tmp_path / "another")  # whose truth would lie in the same folder
    assert truth.is_dir()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "0"], ["--size", "10", "--bad-rows", "2"], ["--size", "10", "--skew", "0.6"],
        ["--size", "10", "--months", "2024-05", "2024-01"], ["--size", "10", "--conf-dir", "nowhere"],
    ],
)
def test_wrong_arguments_end_with_2_before_anything_is_made(tmp_path: Path, arguments: list[str]) -> None:
    out = tmp_path / "out"
    assert main([*arguments, "--out", str(out), *([] if "--conf-dir" in arguments else ["--conf-dir", str(CONF)])]) == 2
    assert not out.exists()


def test_an_edited_configuration_makes_another_province(tmp_path: Path) -> None:
    shutil.copy(CONF / "province.yml", tmp_path)
    same = Province(load_province(tmp_path), 7, 300)
    edited = Province(load_province(_changed(tmp_path, "complaint_rate: 0.12", "complaint_rate: 0.13")), 7, 300)
    assert identity(same) == identity(Province(load_province(CONF), 7, 300)) != identity(edited)
