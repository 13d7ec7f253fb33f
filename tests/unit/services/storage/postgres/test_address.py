import pytest

from services.storage.postgres.address import checked, is_postgres, shown


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ztad@db:5432/ztad",
        "postgres:///ztad",
        "postgresql://ztad@/ztad?host=/run/postgresql",
        "postgresql://[::1]:5432/ztad?sslmode=verify-full&sslrootcert=/etc/ssl/db.pem",
    ],
)
def test_an_address_as_libpq_knows_it(address: str) -> None:
    assert is_postgres(address)
    assert checked(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ztad:s3cret@db/ztad",
        "postgresql://ztad@db/ztad?password=s3cret",
        "postgresql://ztad:@db/ztad",
    ],
)
def test_a_password_is_refused_without_telling_it(address: str) -> None:
    with pytest.raises(ValueError, match="PGPASSWORD") as refused:
        checked(address)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    ["db:5432/ztad", "mysql://db/ztad", "postgresql://db", "postgresql://db:port/ztad",
     "postgresql://[db/ztad", "postgresql://db/ztad#x"],
)  # fmt: skip
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="expected postgresql://user@host:port/name"):
        checked(address)


def test_a_parameter_that_is_not_known() -> None:
    with pytest.raises(ValueError, match=r"'sslmod' is not known; after '[?]' go host, sslmode"):
        checked("postgresql://db/ztad?sslmod=require")


def test_what_people_see_is_without_user_files_and_options() -> None:
    assert shown("postgresql://a@b:5432/c?sslkey=/etc/key") == "postgresql://b:5432/c"
