from services.storage.postgres.timescale import instead


def test_nothing_without_the_extension() -> None:
    assert instead(None) == []


def test_hypertables_alone_under_the_apache_licence() -> None:
    made = "\n".join(instead("apache"))
    assert "create_hypertable('verdicts', 'day'" in made
    assert "compress" not in made
    assert "CREATE VIEW verdicts_by_hour" in made


def test_compression_and_a_continuous_aggregate_under_the_other() -> None:
    made = "\n".join(instead("timescale"))
    assert "add_compression_policy('verdicts'" in made
    assert "verdicts_by_hour WITH (timescaledb.continuous)" in made
    assert made.count("verdicts_by_hour AS") == 0
