"""Models as people write them for pydantic, langchain and instructor: a name, the schema that the library
makes of it, and what reads an answer back."""
import datetime
import decimal
import enum
import uuid
from typing import Annotated, Literal, Optional, Union

import instructor
from langchain_core.output_parsers import PydanticOutputParser
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter, WithJsonSchema


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Sentiment(BaseModel):
    label: Literal["positive", "negative", "neutral"]


class Scored(BaseModel):
    label: Mood
    score: float = Field(ge=0, le=1)


class Person(BaseModel):
    name: str = Field(max_length=30)
    age: int = Field(ge=0, le=130)
    nickname: Optional[str] = Field(default=None, max_length=20)


class Address(BaseModel):
    """Where somebody lives."""
    street: str = Field(max_length=40)
    zip_code: str = Field(pattern=r"^\d{5}$")
    country: Literal["DE", "FR", "US"] = "DE"


class Customer(BaseModel):
    person: Person
    addresses: list[Address] = Field(min_length=1, max_length=2)
    level: Level


class Item(BaseModel):
    title: str = Field(max_length=30)
    price: Annotated[float, Field(gt=0, lt=10000)]
    quantity: int = Field(gt=0, le=20)


class Receipt(BaseModel):
    shop: str = Field(max_length=30)
    day: datetime.date
    items: list[Item] = Field(max_length=3)
    total: float = Field(ge=0, le=100000)


class Meeting(BaseModel):
    begins: datetime.datetime
    clock: datetime.time
    lasts: datetime.timedelta
    room: Optional[int] = Field(default=None, ge=1, le=99)


class Record(BaseModel):
    id: uuid.UUID
    address: Annotated[str, Field(pattern=r"^[a-z]{1,10}@example\.com$")]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str = Field(max_length=20)


class Pet(BaseModel):
    pet: Union[Cat, Dog] = Field(discriminator="kind")


class Pets(BaseModel):
    pets: list[Annotated[Union[Cat, Dog], Field(discriminator="kind")]] = Field(max_length=3)


class Tree(BaseModel):
    value: int = Field(ge=0, le=9)
    children: list["Tree"] = Field(default=[], max_length=2)


class Linked(BaseModel):
    word: str = Field(max_length=10)
    next: Optional["Linked"] = None


class Counts(BaseModel):
    counts: dict[str, Annotated[int, Field(ge=0, le=9)]] = Field(max_length=3)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    yes: bool
    text: str = Field(min_length=2, max_length=12)


class Aliased(BaseModel):
    first_name: str = Field(alias="firstName", max_length=15)
    tags: list[Literal["a", "b", "c"]] = Field(alias="tagList", min_length=1, max_length=3)


class Point(BaseModel):
    at: tuple[Annotated[int, Field(ge=-9, le=9)], Annotated[int, Field(ge=-9, le=9)]]
    label: Optional[Literal["x", "y"]] = None


class Even(BaseModel):
    half: int = Field(multiple_of=2, ge=0, le=100)
    quarter: float = Field(multiple_of=0.25, ge=0, le=10)


class Loose(BaseModel):
    text: str
    score: Optional[float] = None


class Mixed(BaseModel):
    value: Union[int, bool, None, Annotated[list[int], Field(max_length=4)]]


class Choice(BaseModel):
    value: Union[Literal["all"], Annotated[int, Field(ge=1, le=12)], None]


class Article(BaseModel):
    """Facts of an article."""
    title: str = Field(description="its headline", max_length=40)
    topics: list[Literal["politics", "sport", "science"]] = Field(max_length=3)
    sentences: Annotated[list[Annotated[str, Field(max_length=60)]],
                         Field(min_length=2, max_length=2)]
    mood: Optional[Mood] = None


class Priced(BaseModel):
    amount: Annotated[decimal.Decimal, WithJsonSchema(
        {"type": "number", "minimum": 0, "maximum": 1000, "multipleOf": 0.01})]
    currency: Literal["EUR", "USD"]


class Words(RootModel[list[Annotated[str, Field(pattern="^[a-z]+$", max_length=8)]]]):
    pass


class Step(BaseModel):
    thought: str = Field(max_length=50)
    action: Literal["search", "answer"]


class Plan(BaseModel):
    steps: list[Step] = Field(min_length=1, max_length=2)
    done: bool


class Nested(BaseModel):
    one: dict[str, Person] = Field(max_length=1)
    two: list[list[Annotated[int, Field(ge=0, le=5)]]] = Field(max_length=2)


class Url(BaseModel):
    link: Annotated[str, Field(json_schema_extra={"format": "uri"})]
    file: bytes = Field(max_length=8)


PYDANTIC = [Sentiment, Scored, Person, Address, Customer, Item, Receipt, Meeting, Record, Cat, Pet, Pets,
            Tree, Linked, Counts, Strict, Aliased, Point, Even, Mixed, Choice, Article, Priced, Words,
            Plan, Nested, Url, Loose]
ADAPTERS = [list[Annotated[int, Field(ge=0, le=99)]], Literal["a", "b"], Optional[Mood],
            Annotated[Union[Cat, Dog], Field(discriminator="kind")], datetime.date]


def pydantic_cases():
    for model in PYDANTIC:
        yield f"pydantic {model.__name__}", model.model_json_schema(), model.model_validate_json
    for number, kind in enumerate(ADAPTERS):
        adapter = TypeAdapter(kind)
        yield f"pydantic adapter {number}", adapter.json_schema(), adapter.validate_json


def langchain_cases():
    for model in (Sentiment, Person, Customer, Receipt, Pet, Meeting, Article, Plan):
        yield (f"langchain {model.__name__}", convert_to_json_schema(model),
               PydanticOutputParser(pydantic_object=model).parse)
    strict = convert_to_json_schema(Address, strict=True)
    yield "langchain strict", strict, Address.model_validate_json


def instructor_cases():
    for model in (Sentiment, Scored, Person, Customer, Meeting, Article, Plan, Strict):
        made = instructor.openai_schema(model)
        yield f"instructor {model.__name__}", made.openai_schema["parameters"], \
            made.model_validate_json


def all_cases():
    for group in (pydantic_cases, langchain_cases, instructor_cases):
        yield from group()
