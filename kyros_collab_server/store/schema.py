"""What all tables share: metadata with a naming convention, and column shorthands."""

from typing import Any

from sqlalchemy import BigInteger, MetaData
from sqlalchemy import Text as SqlText
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)


Text = SqlText().with_variant(SqlText(collation="C"), "postgresql")
"""Text that both engines order by code point."""


class Table(SQLModel):
    """Base of every table; tables are storage and validate nothing."""

    metadata = metadata


def key() -> Any:
    """A text column of the primary key."""
    return Field(sa_type=Text, primary_key=True)


def big_key() -> Any:
    """A 64-bit column of the primary key."""
    return Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})


def text(*, null: bool = False) -> Any:
    """A text column."""
    return Field(sa_type=Text, nullable=null)


def big(*, null: bool = False) -> Any:
    """A 64-bit integer column."""
    return Field(sa_type=BigInteger, nullable=null)
